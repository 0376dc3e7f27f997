"""The blocks of an iteration: sampling, pairs, and the method that learns from them."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from tasks.common.params.block import Above0, AtLeast0, Block, Positive, Share

# Methods that need a judge's score of both sides of a pair; the others can use every source.
USABLE_SOURCES = {"rpo": ("own_samples",), "grpo": ("own_samples",)}
# prefer.votes is a dependency of prefer@k in dvc.yaml, so it names a file that exists even where nobody voted.
NO_VOTES = "tasks/prefer/votes/none.csv"


class Decoding(Block):
    temperature: Above0
    top_k: Annotated[int, Field(ge=0)]
    top_p: Annotated[float, Field(gt=0, le=1)]
    max_frames_per_character: Above0
    batch_size: Positive


class Sample(Block):
    prompts: Positive
    draws: Positive


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
