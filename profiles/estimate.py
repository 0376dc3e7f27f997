"""What each stage of a run would take: utterances, tokens, steps, pairs, memory, disk and hours of work."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from model import nar, policy
from model.codecs.facts import codec_facts
from profiles.adopted import adopted
from profiles.corpus_size import Size
from tasks.common.params import Params
from tasks.common.params.models import TRAIN
from tasks.texts.lines import read_lines

FRAME_RATES = {"snac": 12.0, "mimi": 12.5, "xcodec2": 50.0, "neucodec": 50.0}  # per second; others have hops of 320
# Millions of parameters, from Whisper's own card.
WHISPER = {"tiny": 39, "base": 74, "small": 244, "medium": 769, "large": 1550, "turbo": 809}
PUBLISHED_CODEC = 1.5e7  # parameters of EnCodec at 24 kHz
RECOGNIZING = 0.5  # share of judging's time that is the recognizer's: an assumption
FROZEN = 4  # bytes per parameter that is not trained
LINEARS = 9  # a block's linear layers, as so many square ones: four of attention, three of a wider MLP
STATE = 16  # bytes per parameter in training: weight, gradient and Adam's two moments in float32
ACTIVATIONS = 34  # numbers per position, layer and unit of width that a backward pass needs (arXiv 2205.05198, eq. 2)
LEAST_IN_GAP = 10  # utterances of test: two per fold of its classifier test
FULL = 0.9  # share of a batch that isn't padding
BASE = {"cuda": 1.5, "cpu": 0.7}  # GiB that libraries and judges take


@dataclass(frozen=True, kw_only=True)
class Row:
    """What one stage takes; 0 where a stage has none of it."""

    stage: str
    utterances: float = 0
    speech: float = 0  # hours
    tokens: float = 0
    steps: int = 0
    pairs: float = 0
    memory: float  # GiB
    disk: float = 0  # GiB
    hours: float  # of work, on one core or GPU
    speed: str  # what the hours rest on


class Plan:
    """The stages of ``params``, in the order in which they run."""

    def __init__(self, params: Params, size: Size, speeds: dict[str, Any], kind: str):
        self.p, self.size, self.kind, self.speed = params, size, kind, speeds[kind]
        self.speeds, self.base = speeds, BASE[kind]
        self.facts = codec_facts(params.models.codec)
        self.start = adopted(params)
        known = self.start.frame_rate if self.start else None
        self.rate = known or FRAME_RATES.get(self.facts.kind, self.facts.sample_rate / 320)
        self.positions_per_frame = self.start.positions if self.start else 1
        with torch.device("meta"):
            ar = policy.build(policy.ArShape(**params.ar.model_dump()), self.facts.codebook_size).model
            shape = {"n_codebooks": max(2, self.facts.n_codebooks), "codebook_size": self.facts.codebook_size}
            second = nar.Nar(nar.NarConfig(**shape, layers=params.nar.layers, width=params.nar.width))
        self.layers, self.width, self.vocabulary = params.ar.layers, params.ar.width, ar.config.vocab_size
        self.ar, self.nar = (sum(x.numel() for x in model.parameters()) for model in (ar, second))
        if self.start:
            self.nar = self.nar if self.start.nar is None else self.start.nar
        self.cache = 2 * self.width
        if self.start and (sizes := self.start.sizes):
            self.ar, self.vocabulary = sizes.parameters, sizes.vocabulary
            self.layers, self.width, self.cache = sizes.layers, sizes.width, sizes.cache
        self.codec_times = self.judge_times = 1.0  # how much slower than the models whose speeds are known
        if kind == "cpu":  # known of the embedded models; on a GPU the guess is about published ones
            if not Path(params.models.codec).is_dir():
                self.codec_times = PUBLISHED_CODEC * self.rate / speeds["codec_size"]
            if known := WHISPER.get(params.models.recognizer.partition(".")[0].partition("-")[0]):
                self.judge_times += RECOGNIZING * (1e6 * known / speeds["recognizer_size"] - 1)

    def rows(self) -> list[Row]:
        """Return a row per stage, an iteration's stages once per iteration."""
        rows = [self._fixed("code"), self._prepare(), self._extract(), self._fixed("texts")]
        if self.p.policy.start == TRAIN:
            rows += [self._sft_ar(), self._sft_nar("sft_nar")]
        else:
            adopted = f"adopted: {self.p.policy.start}"
            nar_is = "none: the policy writes all levels" if self.whole else adopted
            rows += [
                Row(stage=name, memory=self.base, hours=0, speed=found)
                for name, found in (("sft_ar", adopted), ("sft_nar", nar_is))
            ]
        rows += [self._ceiling(), self._evaluate("0")]
        if self.p.gap.train_synthetic_nar and not self.whole:
            rows.append(self._sft_nar("nar_synthetic"))
        rows.append(self._gap("gap_sft"))
        for number, key in enumerate(self.p.iterations):
            rows += [self._sample(key), self._prefer(key), self._align(key, number), self._evaluate(key)]
            rows.append(self._gap(f"gap@{key}"))
        return [*rows, self._fixed("report"), self._fixed("register")]

    @property
    def whole(self) -> bool:
        """Whether the policy writes every level of its codec, so that there is no NAR."""
        return self.start is not None and self.start.whole

    @property
    def notes(self) -> list[str]:
        """What the plan does not know of the adopted policy, and what of the settings will not come true."""
        start, found = self.p.policy.start, []
        if self.size.refused:
            found.append(f"prepare will refuse this corpus: {self.size.refused}")
        if self.p.prepare.test_utterances < LEAST_IN_GAP and not self.whole:
            found.append(
                f"gap will refuse this run: prepare.test_utterances is {self.p.prepare.test_utterances}, but it needs "
                f"{LEAST_IN_GAP}; set it to more, as some may not be usable"
            )
        if not self.size.refused and self.texts < self.p.sample.prompts:
            found.append(f"an iteration samples {self.texts:,} texts, all there are: fewer than sample.prompts")
        if start != TRAIN and (self.start is None or self.start.sizes is None):
            found.append(f"{start} is not on this machine: planned with the size of params.yaml's block ar")
        if self.pairs_per_text == 1:
            found.append("pairs: at most one per text; how many texts give one is not known of this policy")
        return found

    @property
    def train(self) -> float:
        """Utterances of train."""
        if self.size.train is not None:
            return self.size.train
        return max(0, self.size.utterances - self.p.prepare.dev_utterances - self.p.prepare.test_utterances)

    @property
    def texts(self) -> float:
        """Texts that an iteration samples: no more than there are."""
        p = self.p.texts
        there: float = self.train if p.sample == "corpus" else p.sample_pool
        if p.sample == "file":
            there = len(read_lines(Path(p.sample_file), "texts.sample_file", self.p.spelling.rules()))
        return min(self.p.sample.prompts, there)

    @property
    def spoken(self) -> float:
        """Seconds of a text that is sampled: made digits have words of their own."""
        if self.p.texts.sample == "digits":
            return sum(self.p.texts.sample_words) / 2 * self.speeds["seconds_per_word"]
        return self.size.seconds

    def positions(self, seconds: float) -> float:
        """Return the positions of one sequence: text, voice prompt and codes."""
        frames = seconds * self.rate + (self.p.prompt_frames or seconds * self.rate)
        text = seconds * self.size.characters / max(self.size.seconds, 1e-9)
        return text + frames * self.positions_per_frame + 3

    def _prepare(self) -> Row:
        disk = self.size.hours * 3600 * self.facts.sample_rate * 2 / 2**30
        return Row(
            stage="prepare", utterances=self.size.utterances, speech=self.size.hours, memory=BASE["cpu"],
            disk=disk * (1 + self.speeds["flac"]),  # all audio is spooled once before it is compressed
            hours=self.size.hours / self.speed["prepare"], speed=f"{self.speed['prepare']} × real time",
        )  # fmt: skip

    def _extract(self) -> Row:
        frames = self.size.hours * 3600 * self.rate
        times = self.speed["extract"] / self.codec_times
        return Row(
            stage="extract", utterances=self.size.utterances, speech=self.size.hours,
            tokens=frames * self.facts.n_codebooks, memory=self.base, disk=2 * frames * self.facts.n_codebooks / 2**30,
            hours=self.size.hours / times, speed=f"{times:.3g} × real time",
        )  # fmt: skip

    def _training(self, stage: str, weights: float, layers: int, width: int, tokens: float, together: float,
                  vocabulary: int, trained: float | None = None, **row: Any) -> Row:  # fmt: skip
        """Return a training's row: of all weights or ``trained`` numbers; ``together``: a pass's positions."""
        activations = together * (ACTIVATIONS * layers * width + 3 * vocabulary) * 4
        state = STATE * weights if trained is None else FROZEN * weights + STATE * trained
        return Row(
            stage=stage, tokens=tokens, memory=self.base + (state + activations) / 2**30,
            disk=state / 2**30, hours=6 * weights * tokens / self.speed["train_flops"] / 3600,
            speed=f"{self.speed['train_flops']:.2g} FLOP/s", **row,
        )  # fmt: skip

    def _sft_ar(self) -> Row:
        p, length = self.p.sft_ar, self.positions(self.size.seconds)
        tokens = p.epochs * self.train * length
        steps = math.ceil(tokens / max(p.batch_tokens * FULL, length))
        return self._training("sft_ar", self.ar, self.layers, self.width, tokens,
                              max(p.batch_tokens, length), self.vocabulary, steps=steps,
                              utterances=self.train)  # fmt: skip

    def _sft_nar(self, stage: str) -> Row:
        p, length = self.p.sft_nar, self.size.seconds * self.rate
        tokens = p.epochs * self.train * length
        steps = math.ceil(tokens / max(p.batch_frames * FULL, length))
        return self._training(stage, self.nar, self.p.nar.layers, self.p.nar.width, tokens,
                              max(p.batch_frames, length), self.facts.codebook_size, steps=steps,
                              utterances=self.train)  # fmt: skip

    def _sample(self, key: str) -> Row:
        samples = self.texts * self.p.sample.draws
        return Row(stage=f"sample@{key}", utterances=samples, **self._drawn(samples))

    def _drawn(self, samples: float) -> dict[str, Any]:
        tokens = samples * self.spoken * self.rate * self.positions_per_frame
        cache = self.p.decoding.batch_size * self.positions(self.spoken) * self.layers * self.cache * 4
        return {
            "speech": samples * self.spoken / 3600, "tokens": tokens,
            "memory": self.base + (4 * self.ar + cache) / 2**30,
            "hours": 2 * self.ar * tokens / self.speed["sample_flops"] / 3600,
            "speed": f"{self.speed['sample_flops'] / (2 * self.ar):.3g} codes/s",
        }  # fmt: skip

    def _judged(self, stage: str, samples: float, drawn: float, **row: Any) -> Row:
        """Return a row of judging ``samples``, of which ``drawn`` are sampled too."""
        speech = samples * self.spoken / 3600
        times = self.speed["judge"] / self.judge_times
        hours = speech / times + self._drawn(drawn)["hours"]
        return Row(stage=stage, utterances=samples, speech=speech, memory=self.base + 4 * (self.ar + self.nar) / 2**30,
                   hours=hours, speed=f"{times:.3g} × real time", **row)  # fmt: skip

    def _prefer(self, key: str) -> Row:
        return self._judged(f"prefer@{key}", self.texts * self.p.sample.draws, 0, pairs=self.pairs)

    @property
    def pairs(self) -> float:
        """Pairs that an iteration finds."""
        return self.texts * self.pairs_per_text

    @property
    def pairs_per_text(self) -> float:
        """Pairs per text: found with the project's own policy, whose layout names no codec; else the most there are."""
        foreign = self.start is not None and self.start.frame_rate is not None
        own = not foreign and self.p.prefer.source != "golden"
        return self.speeds["pairs_per_text"] if own else 1.0

    def _align(self, key: str, number: int) -> Row:
        p, length = self.p.align, self.positions(self.spoken)
        fresh = p.batch_pairs * (1 - (self.p.prefer.replay if number else 0))
        steps = p.epochs * math.ceil(self.pairs / max(1, fresh))
        tokens = steps * p.batch_pairs * 2 * length
        return self._training(f"align@{key}", self.ar, self.layers, self.width, tokens,
                              2 * p.micro_pairs * length, self.vocabulary, trained=self._aligned, steps=steps,
                              pairs=self.pairs)  # fmt: skip

    @property
    def _aligned(self) -> float | None:
        """Numbers that ``align`` trains; None: all weights."""
        p = self.p.align
        if p.parameters == "lora":
            return LINEARS * 2 * p.lora.rank * self.layers * self.width
        return None if p.parameters == "all" else self.width

    def _evaluate(self, key: str) -> Row:
        e, texts = self.p.evaluate, self.p.texts
        long = 0 if texts.long == "none" else texts.long_utterances
        decodings = len(e.temperatures) * len(e.top_k) * len(e.top_p)
        dev = (self.p.prepare.dev_utterances + long) * (decodings + e.dev_draws)
        test = (self.p.prepare.test_utterances + long) * (e.draws + e.loop_draws)
        return self._judged("evaluate_sft" if key == "0" else f"evaluate@{key}", dev + test, dev + test)

    def _ceiling(self) -> Row:
        ways = 2 if self.whole else 3  # golden, through the codec, the NAR
        golden = self.p.prepare.test_utterances * self.size.seconds * ways / 3600
        times = self.speed["judge"] / self.judge_times
        return Row(stage="ceiling", utterances=self.p.prepare.test_utterances, speech=golden, memory=self.base,
                   hours=golden / times, speed=f"{times:.3g} × real time")  # fmt: skip

    def _gap(self, stage: str) -> Row:
        if self.whole:
            return Row(stage=stage, memory=self.base, hours=0, speed="left out: there is no NAR")
        n, each = self.p.prepare.test_utterances, self.speeds["gap"]
        return Row(stage=stage, utterances=n, memory=self.base, hours=n * each / 3600, speed=f"{each} s per utterance")

    def _fixed(self, stage: str) -> Row:
        seconds = self.speeds["fixed"][stage]
        return Row(stage=stage, memory=BASE["cpu"], hours=seconds / 3600, speed=f"{seconds} s of one core, at any size")
