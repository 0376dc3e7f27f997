"""``params.yaml`` as typed, checked values.

Every stage calls :func:`load` first. An unknown key, a wrong type or an impossible value in any block stops the run
before any work. One message names the key, what was expected and what was found.
"""

from __future__ import annotations

import reprlib
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, Field, ValidationError, model_validator

from model.unknown_keys import instead, keys_at
from tasks.common import yaml12
from tasks.common.params.aligning import (
    LARGEST_IPO_MARGIN,
    LEAST_BETA_OF_SIMPO,
    ON_SEGMENTS,
    USABLE_SOURCES,
    WITH_BETA,
    Align,
    Decoding,
    Iteration,
    Prefer,
    Sample,
)
from tasks.common.params.block import Block, ParamsError, Positive
from tasks.common.params.corpus import Extract, Prepare, Spelling, Texts
from tasks.common.params.judging import Evaluate, Gap, Register
from tasks.common.params.models import Ar, Compute, Models, Nar, Policy, SftAr, SftNar
from tasks.common.paths import check_name
from tasks.common.secrets import holds_credentials

__all__ = ["Params", "ParamsError", "load"]


class Params(Block):
    """All of ``params.yaml``."""

    seed: Annotated[int, Field(ge=0, le=4294967295)]  # PyTorch and scikit-learn take no larger one
    compute: Compute
    models: Models
    spelling: Spelling
    prepare: Prepare
    extract: Extract
    texts: Texts
    policy: Policy
    ar: Ar
    nar: Nar
    prompt_frames: Positive | None
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
    def _long_is_longer(self):
        words = {"synthetic": self.prepare.synthetic.max_words, "fsdd": self.prepare.fsdd.max_words}
        most = words.get(self.prepare.corpus)
        if self.texts.long == "digits" and most is not None and self.texts.long_words[0] <= most:
            raise ValueError(
                f"texts.long_words is {list(self.texts.long_words)}, but recorded texts have up to {most} words: the "
                f"set long must have more; set it to [{most + 1}, {max(most + 1, self.texts.long_words[1])}]"
            )
        return self

    @model_validator(mode="after")
    def _draws_to_compare(self):
        if self.prefer.source in ("own_samples", "random", "longest", "likelihood") and self.sample.draws < 2:
            raise ValueError(
                f"prefer.source {self.prefer.source} compares draws of one text, but sample.draws is "
                f"{self.sample.draws}; set it to 2 or more"
            )
        return self

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
    def _credit(self):
        if self.prefer.credit == "segment" and self.align.method not in ON_SEGMENTS:
            raise ValueError(
                f"align.method {self.align.method} takes whole utterances, so prefer.credit must be utterance; "
                f"segments are for {', '.join(ON_SEGMENTS)}"
            )
        return self

    @model_validator(mode="after")
    def _beta_of_the_method(self):
        method = self.align.method
        for key, iteration in self.iterations.items():
            beta = iteration.beta
            if beta is None:
                continue
            if method not in WITH_BETA:
                raise ValueError(f"align.method {method} does not use iterations.{key}.beta ({beta}); set it to null")
            if method == "ipo" and (margin := 1 / (2 * beta)) > LARGEST_IPO_MARGIN:
                raise ValueError(
                    f"iterations.{key}.beta is {beta}, so ipo asks for a margin of 1 / (2 beta) = {margin:g} "
                    "nats per token, which no training reaches; set it to 1.0 (0.5 nats) or 2.0 (0.25 nats)"
                )
            if method == "simpo" and beta < LEAST_BETA_OF_SIMPO:
                raise ValueError(
                    f"iterations.{key}.beta is {beta}, but simpo's rewards are means over tokens, at which "
                    "such a beta hardly learns; set it to 2.0 to 10.0"
                )
        return self

    @model_validator(mode="after")
    def _on_policy(self):
        """PPO's and GRPO's ratios are of log-probabilities at temperature 1 over all tokens: so are their samples."""
        method, decoding = self.align.method, self.decoding
        whole = {"temperature": 1.0, "top_k": 0, "top_p": 1.0, "min_p": 0.0, "repetition_penalty": 1.0}
        whole["redraw_stuck"] = 0
        other = [name for name, value in whole.items() if getattr(decoding, name) != value]
        if method in ("ppo", "grpo") and other:
            found = ", ".join(f"{name} {getattr(decoding, name)}" for name in other)
            wanted = ", ".join(f"{name}: {whole[name]}" for name in other)
            raise ValueError(
                f"align.method {method} learns from the policy's samples as they are, but decoding has {found}; set "
                f"{wanted}"
            )
        return self

    @model_validator(mode="after")
    def _voice_to_compare_with(self):
        """Without a voice that is asked for, similarity is NaN."""
        if self.policy.voice != "none" or self.align.method not in ("rpo", "grpo"):
            return self
        if self.align.method == "rpo" or self.align.grpo.similarity_weight:
            change = "another method" if self.align.method == "rpo" else "align.grpo.similarity_weight to 0"
            raise ValueError(
                f"policy.voice is none, so no sample has a similarity, which align.method {self.align.method} learns "
                f"from; set {change}"
            )
        return self

    @model_validator(mode="after")
    def _golden_side(self):
        if self.prefer.source == "golden" and self.texts.sample != "corpus":
            raise ValueError(
                "prefer.source golden prefers the recording of a text to the policy's sample, but the texts of "
                f"texts.sample {self.texts.sample} have no recording; set texts.sample to corpus"
            )
        return self

    @model_validator(mode="after")
    def _half_precision(self):
        if self.compute.precision == "fp16" and "muon" in (self.sft_ar.optimizer, self.sft_nar.optimizer):
            raise ValueError(
                "compute.precision fp16 scales the loss, which can't be undone for muon's two optimizers; set "
                "compute.precision to bf16 or float32, or the optimizer of sft_ar and sft_nar to adamw"
            )
        return self

    @model_validator(mode="after")
    def _chain(self):
        known = {"0"}
        for key, iteration in self.iterations.items():
            check_name(key)
            if key == "0":
                raise ValueError('iteration "0" is the start policy; name the first aligned iteration "1"')
            if key.lower() in {name.lower() for name in known}:
                raise ValueError(f"the iteration {key!r} differs from another one in capitals only: name it otherwise")
            if iteration.prev not in known:
                raise ValueError(
                    f'iterations.{key}.prev is "{iteration.prev}", but only {sorted(known)} come before it'
                )
            known.add(key)
        return self


def load(path: str | Path = "params.yaml") -> Params:
    """Read and check the parameters.

    Raises:
        ParamsError: with one line per problem: where, what was expected, what was found.
    """
    path = Path(path)
    if not path.is_file():
        raise ParamsError(f"{path} does not exist; run from the repository's top folder")
    try:
        content = yaml12.loads(path.read_text(encoding="utf-8"))
    except UnicodeDecodeError as error:
        raise ParamsError(f"{path} is not UTF-8 text: {error}; save it as UTF-8") from error
    except yaml12.YAMLError as error:
        raise ParamsError(f"{path} is not valid YAML: {error}") from error
    if not isinstance(content, dict):
        raise ParamsError(f"{path} should hold named blocks, but holds {type(content).__name__}")
    iterations = content.get("iterations")
    for key in iterations if isinstance(iterations, dict) else ():
        if not isinstance(key, str):
            raise ParamsError(f'{path}: iterations.{key} must be a quoted string ("{key}"): DVC drops integer keys')
    if named := _with_credentials(content, "", set()):
        raise ParamsError(
            f"{path}: {', '.join(named)} holds credentials, which dvc.lock and MLflow would keep; name the place "
            "without them and put them in the environment (AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY; docs/s3.md)"
        )
    try:
        return Params.model_validate(content)
    except ValidationError as error:
        raise invalid(path, content, error, Params) from error


def _with_credentials(content: object, where: str, seen: set[int]) -> list[str]:
    """Return the dotted names of the texts that hold some; a part that others refer to is looked at once."""
    if isinstance(content, str):
        return [where] if holds_credentials(content) else []
    if not isinstance(content, (dict, list)) or id(content) in seen:
        return []
    seen.add(id(content))
    inner = content.items() if isinstance(content, dict) else enumerate(content)
    return [name for key, value in inner for name in _with_credentials(value, f"{where}.{key}".strip("."), seen)]


def invalid(path: Path, content: object, error: ValidationError, model: type[BaseModel]) -> ParamsError:
    """Return the error with one line per problem: where, what was expected, what was found.

    Args:
        content: of the file.
        model: what the file was read as, for the keys that it should have.
    """
    problems: dict[tuple[str, str], list[str]] = {}  # place, value as shown -> what each type that it may have says
    for item in error.errors(include_url=False):
        place = _place(item["loc"], content)
        where = ".".join(map(str, place))
        said, found = item["msg"].removeprefix("Value error, "), f" (found {_short(item['input'])})"
        if item["type"] == "extra_forbidden":
            said, found = f"unknown key; {instead(str(place[-1]), keys_at(model, place[:-1]))}", ""
        elif item["type"] == "missing" or (isinstance(item["input"], dict) and item["type"] == "value_error"):
            found = ""  # the message says what matters
        problems.setdefault((where, found), []).append(said)
    lines = [f"  {where}{': ' if where else ''}{_any_of(said)}{found}" for (where, found), said in problems.items()]
    if len(lines) == 1:
        return ParamsError(f"{path}: {lines[0].strip()}")
    return ParamsError(f"{path} has {len(lines)} problems:\n" + "\n".join(lines))


def _place(loc: Sequence[str | int], content: object) -> list[str | int]:
    """Return where a value is; below it pydantic's ``loc`` names the types that the value may have."""
    place: list[str | int] = []
    for part in loc:
        if not isinstance(content, (dict, list)):
            break
        place.append(part)
        known = content if isinstance(content, dict) else dict(enumerate(content))
        content = known.get(part)
    return place


def _any_of(said: list[str]) -> str:
    """Return ``Input should be 'auto' or greater than 0`` for what both types of a value say."""
    first, *others = said
    return " or ".join([first, *(other.removeprefix("Input should be ") for other in others)])


def _short(value: object) -> str:
    text = reprlib.repr(value)  # of parts that refer to one another there may be billions
    return text if len(text) <= 60 else f"{text[:57]}..."
