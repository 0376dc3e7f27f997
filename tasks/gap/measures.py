"""The measures of the gap, with the names under which they are written and logged."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from model.gap import resampling, two_sample
from model.gap.distances import Distance, Frechet, TotalVariation, Wasserstein, token_counts
from model.gap.resampling import Estimate
from model.statistics import bootstrap_interval, paired_interval
from tasks.common.params import Params
from tasks.gap.tokens import Compared

NAMES = ("frechet", "codes", "seconds")  # states of the NAR, usage of level-1 codes, durations


@dataclass(frozen=True)
class Measures:
    """Distances between golden and one policy's tokens, on rows golden first."""

    utterances: int
    distances: dict[str, Distance]

    @classmethod
    def of(
        cls,
        compared: Compared,
        vectors: np.ndarray,
        tokens: list[np.ndarray],
        seconds: np.ndarray,
        golden_seconds: np.ndarray,
    ) -> Measures:
        counts = [token_counts(t, compared.codebook_size) for t in (compared.golden_tokens, tokens)]
        return cls(
            len(compared.ids),
            {
                "frechet": Frechet(np.vstack([compared.basis.project(v) for v in (compared.golden, vectors)])),
                "codes": TotalVariation(np.vstack(counts)),
                "seconds": Wasserstein(np.concatenate([golden_seconds, seconds])),
            },
        )

    def estimates(self, draws: int, seed: int) -> dict[str, Estimate]:
        return {name: Estimate.of(d, self.utterances, draws, seed) for name, d in self.distances.items()}

    def change_from(self, before: Measures, draws: int, seed: int) -> dict[str, dict[str, float]]:
        """This minus ``before`` of each distance, on the same resampled utterances."""
        return {
            name: resampling.change(before.distances[name], distance, self.utterances, draws, seed).to_json()
            for name, distance in self.distances.items()
        }

    def halves(self, seed: int) -> dict[str, float]:
        """Fréchet distance of half the golden utterances to the others: golden, and as the policy spoke them."""
        golden, synthetic = resampling.halves(self.distances["frechet"], self.utterances, seed)
        return {"golden": golden, "synthetic": synthetic}


@dataclass(frozen=True)
class Classified:
    """Which utterances the classifier told rightly."""

    compared: Compared
    vectors: np.ndarray
    correct: np.ndarray

    @classmethod
    def of(cls, compared: Compared, vectors: np.ndarray, params: Params) -> Classified:
        correct = two_sample.correct(compared.golden, vectors, np.array(compared.ids), params.seed)
        return cls(compared, vectors, correct)

    def summary(self, params: Params) -> dict[str, float]:
        """Accuracy with its interval over utterances (the classifiers as trained), and p against chance."""
        accuracy = bootstrap_interval(self.correct, None, params.evaluate.bootstrap_samples, params.seed)
        golden, ids, permutations = self.compared.golden, np.array(self.compared.ids), params.gap.permutations
        p = two_sample.p_value(golden, self.vectors, ids, accuracy.value, permutations, params.seed)
        return {**accuracy.to_json(), "p": p}

    def change_from(self, before: Classified, params: Params) -> dict[str, float]:
        """This accuracy minus that of ``before``, on the same utterances."""
        n = params.evaluate.bootstrap_samples
        return paired_interval(before.correct, self.correct, None, None, n, params.seed).to_json()
