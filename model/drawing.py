"""One draw per row of a batch: from scores to tokens and their log-probabilities."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F

from model.drawable import Drawable
from model.errors import InputError

LEAST_TEMPERATURE = 0.01  # as good as always the likeliest code; far below, scores overflow


@dataclass(frozen=True)
class Decoding:
    """How to sample: temperature, top-k (0: off), top-p (1: off) and the limit of frames per character of text.

    ``min_p`` leaves out tokens that are less likely than this share of the likeliest (0: off; Nguyen et al. 2024,
    arXiv 2407.01082). ``repetition_penalty`` (1: off; Keskar et al. 2019, arXiv 1909.05858) divides a positive score
    and multiplies a negative one of each token among the last ``repetition_window`` of context and sample (0: all).
    A sample that is stuck (:mod:`model.stuck`) is drawn again up to ``redraw_stuck`` times.
    """

    temperature: float = 1.0
    top_k: int = 0
    top_p: float = 1.0
    max_frames_per_character: float = 12.0
    min_p: float = 0.0
    repetition_penalty: float = 1.0
    repetition_window: int = 0
    redraw_stuck: int = 0

    def check(self) -> None:
        """Refuse settings that nothing can be drawn at.

        Raises:
            InputError: with the bounds.
        """
        if not LEAST_TEMPERATURE <= self.temperature <= 1e3 or self.top_k < 0 or not 0 < self.top_p <= 1:
            raise InputError(
                f"temperature is {self.temperature}, top_k {self.top_k} and top_p {self.top_p}; expected a "
                f"temperature of at least {LEAST_TEMPERATURE} and at most 1000, a top_k of 0 (no limit) or more, and a "
                "top_p above 0 and at most 1 (no limit)"
            )
        if not 0 <= self.min_p < 1 or not 1 <= self.repetition_penalty <= 10 or self.repetition_window < 0:
            raise InputError(
                f"min_p is {self.min_p}, repetition_penalty {self.repetition_penalty} and repetition_window "
                f"{self.repetition_window}; expected a min_p of at least 0 (no limit) and below 1, a penalty of 1 "
                "(none) to 10, and a window of 0 (everything) or more tokens"
            )

        if self.redraw_stuck < 0:
            raise InputError(f"redraw_stuck is {self.redraw_stuck}; expected 0 (never draw again) or more")

    def max_frames(self, text: str) -> int:
        """Return the frame limit of a text."""
        return max(1, int(self.max_frames_per_character * len(text)))


class Drawer:
    """Draws what is drawable, with one uniform number per row."""

    def __init__(self, drawable: Drawable, decoding: Decoding, device: torch.device):
        stops = torch.tensor(drawable.stops, device=device)
        self.decoding, self.silent = decoding, drawable.silent
        self.ids = torch.cat([stops, torch.as_tensor(drawable.codes, device=device)]).sort().values
        self.ends = torch.isin(self.ids, stops)
        following = torch.from_numpy(drawable.following(self.ids.cpu().numpy())).to(device)
        self.following, self.allowed = following.long(), following >= 0  # (states, ids)

    def begin(self, rows: int) -> torch.Tensor | None:
        """Return the first state of each row ``(rows,)``, or None where any code may follow any other."""
        return torch.zeros(rows, dtype=torch.long, device=self.ids.device) if len(self.following) else None

    def after(self, states: torch.Tensor, tokens: torch.Tensor) -> torch.Tensor:
        """Return the states ``(rows,)`` after these tokens were drawn in ``states``."""
        return self.following[states, torch.searchsorted(self.ids, tokens)]

    def first_penalized(self, length: int) -> int:
        """Return from which of ``length`` tokens on repetition is penalized: ``length`` if it is not."""
        if self.decoding.repetition_penalty == 1:
            return length
        return max(0, length - self.decoding.repetition_window) if self.decoding.repetition_window else 0

    def draw(
        self,
        logits: torch.Tensor,
        uniform: torch.Tensor,
        recent: torch.Tensor,
        first: bool,
        states: torch.Tensor | None = None,
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
        """Return tokens ``(rows,)`` by inverse CDF, whether each is a stop, and two log-probabilities of each.

        The first is the policy's own (temperature 1, whole vocabulary), the second that of the distribution drawn from.
        What may not be drawn has probability 0 in the second, and limits count the rest.
        The repetition penalty comes first, then temperature, top-k, top-p (the fewest tokens whose probabilities reach
        it; Holtzman et al. 2020, arXiv 1904.09751) and min-p: the order of transformers.

        Args:
            logits: ``(rows, vocabulary)``.
            uniform: ``(rows,)``, from 0 to 1.
            recent: tokens whose repetition is penalized ``(rows, window)``.
            first: no stop may be drawn.
            states: of the rows ``(rows,)``, where they decide what may be drawn.
        """
        logits, decoding = logits.float(), self.decoding
        logprobs = F.log_softmax(logits, dim=-1)[:, self.ids]
        scores = logprobs
        if recent.shape[1]:
            found = logits.gather(1, recent)
            penalty = decoding.repetition_penalty
            penalized = torch.where(found < 0, found * penalty, found / penalty)
            scores = logits.scatter(1, recent, penalized)[:, self.ids]
        scores = scores / decoding.temperature
        if states is not None:
            scores = scores.masked_fill(~self.allowed[states], float("-inf"))
        elif first:
            scores = scores.masked_fill(self.ends, float("-inf"))
        if decoding.top_k:
            threshold = scores.topk(min(decoding.top_k, scores.shape[-1]), dim=-1).values[:, -1:]
            scores = scores.masked_fill(scores < threshold, float("-inf"))
        probabilities = scores.double().softmax(dim=-1)
        if decoding.top_p < 1:
            falling, order = probabilities.sort(dim=-1, descending=True)
            likelier = falling.cumsum(dim=-1) - falling  # the mass of all likelier tokens
            probabilities = probabilities.scatter(1, order, falling.masked_fill(likelier >= decoding.top_p, 0.0))
        if decoding.min_p:
            least = decoding.min_p * probabilities.amax(dim=-1, keepdim=True)
            probabilities = probabilities.masked_fill(probabilities < least, 0.0)
        cdf = probabilities.cumsum(dim=-1)
        # Rounding may leave the last value just below 1: scale, so that no draw falls past the end.
        total = cdf[:, -1:]
        place = torch.searchsorted(cdf, uniform[:, None] * total, right=True).clamp(max=cdf.shape[-1] - 1)
        behavior = (probabilities.gather(1, place) / total).log()
        drawn = place[:, 0]
        return self.ids[drawn], self.ends[drawn], logprobs.gather(1, place)[:, 0], behavior[:, 0].float()
