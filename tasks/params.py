"""``params.yaml`` as typed, checked values.

Every stage calls :func:`load` first, so an unknown key, a wrong type or an impossible value in any block stops the
run before any work, with one message that names the key, what was expected and what was found.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

Positive = Annotated[int, Field(gt=0)]
Share = Annotated[float, Field(ge=0, le=1)]
Above0 = Annotated[float, Field(gt=0)]
AtLeast0 = Annotated[float, Field(ge=0)]


# Methods that need a judge's number for both sides of a pair; the others can use every source.
USABLE_SOURCES = {"rpo": ("own_samples",), "grpo": ("own_samples",)}
# prefer.votes is a dependency of prefer@k in dvc.yaml, so it names a file that exists even where nobody voted.
NO_VOTES = "tasks/voting/none.csv"
# Published names of one file, from whisper's own table: importing the package here would load torch for every command.
SAME_WHISPER = {"large": "large-v3", "turbo": "large-v3-turbo"}


class ParamsError(ValueError):
    """``params.yaml`` is missing, unreadable or holds something impossible."""


class Block(BaseModel):
    # Strict, so that "5e-5" (a string to YAML 1.1) or true for 1 is an error and not a guess.
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class Compute(Block):
    device: Literal["auto", "cpu", "cuda"]
    precision: Literal["auto", "no", "bf16", "fp16"]
    threads: Positive


class Models(Block):
    codec: str
    recognizer: str
    held_out_recognizer: str | None
    held_out_speaker: Literal["timbre"] | None

    @model_validator(mode="after")
    def _held_out(self):
        if self.held_out_recognizer is None:
            return self
        held_out, chooses = (
            os.path.realpath(SAME_WHISPER.get(name, name)) for name in (self.held_out_recognizer, self.recognizer)
        )
        if held_out == chooses:
            raise ValueError(
                f"held_out_recognizer ({self.held_out_recognizer}) is the same as recognizer ({self.recognizer}), "
                "which chooses the pairs; name another one, or null"
            )
        return self


def _check_words(fewest: int, most: int) -> None:
    if fewest > most:
        raise ValueError(f"min_words ({fewest}) must not be above max_words ({most})")


class Synthetic(Block):
    utterances: Positive
    min_words: Positive
    max_words: Positive
    rate: Annotated[tuple[Positive, Positive], Field(strict=False)]  # YAML writes a tuple as a list
    pitch: Annotated[tuple[int, int], Field(strict=False)]
    voices: list[str] = Field(min_length=1)
    unseen_voices: list[str]

    @model_validator(mode="after")
    def _voices_apart(self):
        if shared := set(self.voices) & set(self.unseen_voices):
            raise ValueError(f"voices both seen and unseen: {sorted(shared)}")
        return self

    @model_validator(mode="after")
    def _ranges(self):
        _check_words(self.min_words, self.max_words)
        for name, (low, high) in (("rate", self.rate), ("pitch", self.pitch)):
            if low > high:
                raise ValueError(f"{name} ([{low}, {high}]) must name the lower value first")
        return self


class Fsdd(Block):
    min_words: Positive
    max_words: Positive
    utterances: Positive

    @model_validator(mode="after")
    def _ranges(self):
        _check_words(self.min_words, self.max_words)
        return self


class Prepare(Block):
    corpus: Literal["synthetic", "librispeech", "libritts", "vctk", "ljspeech", "fsdd", "folder"]
    path: str | None
    min_seconds: Above0
    max_seconds: Above0
    max_clipped: Share
    unseen_speakers: Annotated[int, Field(ge=0)]
    test_utterances: Positive
    dev_utterances: Positive
    synthetic: Synthetic
    fsdd: Fsdd

    @model_validator(mode="after")
    def _consistent(self):
        if self.corpus != "synthetic" and not self.path:
            raise ValueError(
                f"prepare.path must say where the {self.corpus} corpus lies (a folder or s3://bucket/prefix)"
            )
        if self.min_seconds >= self.max_seconds:
            raise ValueError(f"min_seconds ({self.min_seconds}) must be below max_seconds ({self.max_seconds})")
        return self


class Extract(Block):
    batch_seconds: Above0


class Ar(Block):
    layers: Positive
    width: Positive
    heads: Positive
    max_positions: Positive

    @model_validator(mode="after")
    def _divisible(self):
        if self.width % (2 * self.heads):
            raise ValueError(f"width ({self.width}) must be a multiple of twice the heads ({self.heads})")
        return self


class Nar(Block):
    layers: Positive
    width: Positive


class SftAr(Block):
    epochs: Positive
    batch_tokens: Positive
    optimizer: Literal["adamw", "muon"]
    lr: Above0
    warmup: Share
    weight_decay: AtLeast0
    dropout: Share


class SftNar(Block):
    epochs: Positive
    batch_frames: Positive
    optimizer: Literal["adamw", "muon"]
    lr: Above0
    warmup: Share
    weight_decay: AtLeast0


class Decoding(Block):
    temperature: Above0
    top_k: Annotated[int, Field(ge=0)]
    max_frames_per_character: Above0
    batch_size: Positive


class Sample(Block):
    prompts: Positive
    temperatures: Annotated[list[Above0], Field(min_length=1)]


class Prefer(Block):
    source: Literal["own_samples", "golden", "votes"]
    votes: str
    min_wer_gap: Above0
    accumulate: bool
    reference: Literal["previous", "sft"]

    @model_validator(mode="after")
    def _votes(self):
        if self.source == "votes" and self.votes in ("", NO_VOTES):
            raise ValueError("source is votes, so prefer.votes must name the file of votes (CSV or JSON lines)")
        return self


class Simpo(Block):
    gamma: AtLeast0


class Rpo(Block):
    eta: Above0


class Kto(Block):
    desirable_weight: Above0
    undesirable_weight: Above0


class RewardModel(Block):
    lr: Above0
    epochs: Positive


class Ppo(Block):
    rollouts: Positive
    prompts: Positive
    inner_epochs: Positive
    clip: Above0
    kl_weight: AtLeast0
    value_weight: Above0
    gae_lambda: Share


class Grpo(Block):
    clip: Above0
    kl_weight: AtLeast0
    similarity_weight: AtLeast0


class BestOfN(Block):
    n: Annotated[int, Field(ge=2)]


class Align(Block):
    method: Literal["dpo", "ipo", "rpo", "simpo", "kto", "coh", "ppo", "grpo", "best_of_n", "sft"]
    parameters: Literal["all", "final_norm"]
    lr: Above0
    epochs: Positive
    batch_pairs: Positive
    micro_pairs: Positive
    nll_weight: AtLeast0
    label_smoothing: Annotated[float, Field(ge=0, lt=0.5)]
    length_normalized: bool
    warmup: Share
    max_grad_norm: Above0
    simpo: Simpo
    rpo: Rpo
    kto: Kto
    reward_model: RewardModel
    ppo: Ppo
    grpo: Grpo
    best_of_n: BestOfN

    @model_validator(mode="after")
    def _enough_to_train(self):
        if self.method == "coh" and self.parameters != "all":
            raise ValueError(f"coh teaches new words, which {self.parameters} alone can't learn; set parameters: all")
        return self


class Iteration(Block):
    prev: str
    beta: Above0


class Evaluate(Block):
    batch_size: Positive
    bootstrap_samples: Positive
    audio_samples: Annotated[int, Field(ge=0)]


class Gap(Block):
    dimensions: Positive
    reference: Positive
    permutations: Positive
    train_synthetic_nar: bool

    @model_validator(mode="after")
    def _enough(self):
        if self.reference <= self.dimensions:
            raise ValueError(f"reference ({self.reference}) must be above dimensions ({self.dimensions})")
        return self


class Register(Block):
    model_name: str
    min_duration_ratio: Above0
    max_duration_ratio: Above0
    max_wer_increase: Share
    max_similarity_decrease: Share
    max_failed_increase: Share
    max_f0_flattening: Share

    @model_validator(mode="after")
    def _bounds(self):
        if self.min_duration_ratio >= self.max_duration_ratio:
            raise ValueError(
                f"min_duration_ratio ({self.min_duration_ratio}) must be below "
                f"max_duration_ratio ({self.max_duration_ratio})"
            )
        return self


class Params(Block):
    """All of ``params.yaml``."""

    seed: Annotated[int, Field(ge=0)]
    compute: Compute
    models: Models
    prepare: Prepare
    extract: Extract
    ar: Ar
    nar: Nar
    prompt_frames: Positive
    sft_ar: SftAr
    sft_nar: SftNar
    decoding: Decoding
    sample: Sample
    prefer: Prefer
    align: Align
    iterations: dict[str, Iteration]
    evaluate: Evaluate
    gap: Gap
    register_: Register = Field(alias="register")

    def iteration(self, key: str) -> Iteration:
        """One iteration's block.

        Raises:
            ParamsError: there is none of that name.
        """
        if key not in self.iterations:
            raise ParamsError(f'there is no iteration "{key}" in params.yaml; it has {sorted(self.iterations)}')
        return self.iterations[key]

    @model_validator(mode="after")
    def _method_can_use_source(self):
        usable = USABLE_SOURCES.get(self.align.method)
        if usable and self.prefer.source not in usable:
            raise ValueError(
                f"align.method {self.align.method} can't use prefer.source {self.prefer.source}: it needs a reward for "
                f"both sides; it can use {', '.join(usable)}"
            )
        return self

    @model_validator(mode="after")
    def _on_policy(self):
        """PPO's and GRPO's ratios are of log-probabilities at temperature 1 over all tokens: so are their samples."""
        method, decoding, drawn = self.align.method, self.decoding, self.sample.temperatures
        if method in ("ppo", "grpo") and (decoding.temperature != 1 or decoding.top_k != 0):
            raise ValueError(
                f"align.method {method} learns from the policy's samples as they are, but decoding has temperature "
                f"{decoding.temperature} and top_k {decoding.top_k}; set temperature: 1.0 and top_k: 0"
            )
        if method == "grpo" and (set(drawn) != {1.0} or len(drawn) < 2):
            raise ValueError(
                f"align.method grpo compares samples of a text drawn at temperature 1, but sample.temperatures is "
                f"{drawn}; set it to {[1.0] * max(2, len(drawn))}"
            )
        return self

    @model_validator(mode="after")
    def _chain(self):
        known = {"0"}
        for key, iteration in self.iterations.items():
            if key == "0":
                raise ValueError('iteration "0" is the SFT policy; name the first aligned iteration "1"')
            if iteration.prev not in known:
                raise ValueError(
                    f'iterations.{key}.prev is "{iteration.prev}", but only {sorted(known)} come before it'
                )
            known.add(key)
        return self


def load(path: str | Path = "params.yaml") -> Params:
    """Read and check the parameters.

    Raises:
        ParamsError: with one line a problem: where, what was expected, what was found.
    """
    path = Path(path)
    if not path.is_file():
        raise ParamsError(f"{path} does not exist; run from the repository's top folder")
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except yaml.YAMLError as error:
        raise ParamsError(f"{path} is not valid YAML: {error}") from error
    if not isinstance(content, dict):
        raise ParamsError(f"{path} should hold named blocks, but holds {type(content).__name__}")
    for key in content.get("iterations") or {}:
        if not isinstance(key, str):
            raise ParamsError(f'{path}: iterations.{key} must be a quoted string ("{key}"): DVC drops integer keys')
    try:
        return Params.model_validate(content)
    except ValidationError as error:
        problems = []
        for item in error.errors(include_url=False):
            where = ".".join(str(part) for part in item["loc"]) or "params"
            found = "" if item["type"] == "missing" else f" (found {_short(item['input'])})"
            problems.append(f"  {where}: {item['msg']}{found}")
        raise ParamsError(f"{path} has {len(problems)} problem(s):\n" + "\n".join(problems)) from error


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
