"""The blocks of an iteration: sampling, pairs, and the method that learns from them."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from tasks.common.params.block import Above0, AtLeast0, Beta, Block, Positive, Rate, Share, Temperature

# Methods that need a judge's score of both sides of a pair; the others can use every source.
USABLE_SOURCES = {"rpo": ("own_samples",)}
CHOOSE_FINISHED = ("own_samples", "random", "likelihood")  # sources whose chosen side is a sample that ended
LEAST_BETA_OF_SIMPO = 0.5  # its rewards are means over tokens: a tenth of a nat, where a sum is ten
# prefer.votes is a dependency of prefer@k in dvc.yaml, so it names a file that exists even where nobody voted.
NO_VOTES = "tasks/prefer/votes/none.csv"
# Options of align that some methods read: what means "off", and who reads it.
OPTIONS: dict[str, tuple[Any, tuple[str, ...]]] = {
    "nll_weight": (0.0, ("dpo", "ipo", "rpo", "simpo", "kto")),
    "label_smoothing": (0.0, ("dpo", "simpo")),
    "length_normalized": (False, ("dpo",)),
}
WITH_BETA = ("dpo", "ipo", "rpo", "simpo", "kto")
# Methods whose loss may be about a part of each side (prefer.credit: segment).
ON_SEGMENTS = ("dpo", "ipo", "rpo", "simpo", "rejection")
HIGHEST_LR_OF_ALL = 1e-2  # a rate made for gains destroys a policy whose weights all learn at it
LARGEST_IPO_MARGIN = 1.0  # nats per token; what training reaches is a few tenths


class Decoding(Block):
    temperature: Temperature
    top_k: Annotated[int, Field(ge=0)]
    top_p: Annotated[float, Field(gt=0, le=1)]
    min_p: Annotated[float, Field(ge=0, lt=1)]
    repetition_penalty: Annotated[float, Field(ge=1, le=10)]
    repetition_window: Annotated[int, Field(ge=0)]
    redraw_stuck: Annotated[int, Field(ge=0, le=100)]
    max_frames_per_character: Above0
    batch_size: Positive


class Sample(Block):
    prompts: Positive
    draws: Positive
    engine: Annotated[str, Field(pattern=r"^(own|https?://.+)$")] = "own"


class Prefer(Block):
    source: Literal["own_samples", "golden", "votes", "likelihood", "random", "longest"]
    votes: str
    min_wer_gap: Annotated[float, Field(gt=0, le=1)]
    max_chosen_wer: Annotated[float, Field(ge=0, lt=1)]
    credit: Literal["utterance", "segment"]
    replay: Annotated[float, Field(ge=0, lt=1)]
    reference: Literal["previous", "start"]

    @model_validator(mode="after")
    def _votes(self):
        if self.source == "votes" and self.votes in ("", NO_VOTES):
            raise ValueError("source is votes, so prefer.votes must name the file of votes (CSV or JSON lines)")
        return self

    @model_validator(mode="after")
    def _segments(self):
        if self.credit == "segment" and self.source not in ("own_samples", "random"):
            raise ValueError(
                f"credit: segment starts at the first wrong word, which source {self.source} doesn't compare; set "
                "credit: utterance, or source: own_samples"
            )
        return self


class Simpo(Block):
    gamma: AtLeast0


class Rpo(Block):
    eta: Above0


class Kto(Block):
    desirable_weight: Above0
    undesirable_weight: Above0


class RewardModel(Block):
    lr: Rate
    epochs: Positive
    held_out: Annotated[float, Field(ge=0, lt=1)]


class Ppo(Block):
    rollouts: Positive
    prompts: Positive
    inner_epochs: Positive
    clip: Above0
    kl_weight: AtLeast0
    value_weight: Above0
    value_lr: Rate
    gae_lambda: Share
    unfinished_penalty: AtLeast0


class Grpo(Block):
    rollouts: Positive
    prompts: Positive
    draws: Annotated[int, Field(ge=2)]
    inner_epochs: Positive
    clip: Above0
    kl_weight: AtLeast0
    similarity_weight: AtLeast0


class Lora(Block):
    rank: Positive
    alpha: Positive


class BestOfN(Block):
    n: Annotated[int, Field(ge=2)]


class Align(Block):
    method: Literal["dpo", "ipo", "rpo", "simpo", "kto", "coh", "ppo", "grpo", "best_of_n", "rejection", "sft"]
    parameters: Literal["all", "lora", "final_norm", "final_norm_directions"]
    lr: Rate
    epochs: Positive
    batch_pairs: Positive
    micro_pairs: Positive
    nll_weight: AtLeast0 | None  # None, here and for beta: the method's own (own.py)
    label_smoothing: Annotated[float, Field(ge=0, lt=0.5)]
    length_normalized: bool
    warmup: Share
    max_grad_norm: Above0
    gradient_checkpointing: bool
    lora: Lora
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

    @model_validator(mode="after")
    def _only_options_of_the_method(self):
        unused = [
            f"{name} ({getattr(self, name)}; set it to {str(off).lower()})"
            for name, (off, users) in OPTIONS.items()
            if self.method not in users and getattr(self, name) not in (off, None)
        ]
        if unused:
            raise ValueError(f"align.method {self.method} does not use {', '.join(unused)}")
        return self

    @model_validator(mode="after")
    def _lr_of_all_weights(self):
        usual = {"all": "3.0e-4", "lora": "2.0e-3"}
        if self.parameters in usual and self.lr > HIGHEST_LR_OF_ALL:
            raise ValueError(
                f"lr {self.lr} is made for the gains of the final norm; with parameters: {self.parameters}, set it to "
                f"{HIGHEST_LR_OF_ALL} at most (about {usual[self.parameters]})"
            )
        return self


class Iteration(Block):
    prev: str
    beta: Beta | None = None
