"""What a layout's YAML file says, checked strictly; :mod:`model.layouts.files` reads it."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from model.errors import InputError
from model.layouts.fields import (
    COMPLETION_FIELDS,
    CONTEXT_FIELDS,
    PROMPTED_FIELDS,
    WORD_FIELDS,
    Pattern,
    check_pattern,
    check_template,
    fields_of,
)
from model.layouts.front_ends import check_steps

Count = Annotated[int, Field(gt=0)]
Rate = Annotated[float, Field(gt=0, strict=False)]
_AROUND_WORD = re.compile(r"(<[^<>{}\s]+>)+\{word\}(<[^<>{}\s]+>)")


class LayoutError(InputError):
    """A layout that is unreadable, impossible, or does not fit a tokenizer, checkpoint or codec."""


class _Block(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


class CodecSpec(_Block):
    """The codec whose codes the model writes: its kind, the rate it encodes at (Hz), and frames per second."""

    kind: str
    sample_rate: Count
    frame_rate: Rate


class CodesSpec(_Block):
    """Names of the code tokens, and the order of levels within a frame.

    A frame has one token per slot. Slot ``s`` holds a code of level ``slots[s]``; its token is the level's pattern with
    the number ``first + per_slot * s + code``. Without ``size`` the tokenizer decides how many there are.
    """

    token: Pattern | list[Pattern]  # one for all levels, or one per level
    size: Annotated[int, Field(gt=1)] | None = None
    slots: list[Annotated[int, Field(ge=0)]] = [0]
    first: Annotated[int, Field(ge=0)] = 0
    per_slot: Annotated[int, Field(ge=0)] = 0
    spare: Annotated[int, Field(ge=0)] = 0  # code tokens that the tokenizer has beyond the codec's

    @model_validator(mode="after")
    def _check(self) -> CodesSpec:
        if not self.slots or set(self.slots) != set(range(max(self.slots) + 1)):
            raise ValueError(f"slots should name each level from 0 on, found {self.slots}")
        if isinstance(self.token, list) and len(self.token) != self.n_levels:
            raise ValueError(f"token should have one pattern per level ({self.n_levels}), found {len(self.token)}")
        for pattern in self.patterns:
            check_pattern(pattern)
        if self.size is None and (len(self.slots) > 1 or self.spare):
            raise ValueError("size is needed with several slots, or with spare tokens")
        return self

    @property
    def n_levels(self) -> int:
        return max(self.slots) + 1

    @property
    def patterns(self) -> list[Pattern]:
        """The pattern of each level."""
        return self.token if isinstance(self.token, list) else [self.token] * self.n_levels


class GlobalsSpec(_Block):
    """Codes that belong to a voice and not to a moment: always given, never written."""

    token: Pattern
    size: Count
    count: Count

    @field_validator("token")
    @classmethod
    def _check(cls, pattern: Pattern) -> Pattern:
        return check_pattern(pattern)


class WordSpec(_Block):
    """How one word and its codes are written, where words stand between the codes."""

    template: str
    features: list[Pattern] = []

    @model_validator(mode="after")
    def _check(self) -> WordSpec:
        needed = {"word", "codes"} | ({"features"} if self.features else set())
        check_template(self.template, WORD_FIELDS, needed)
        if not _AROUND_WORD.match(self.template):
            raise ValueError(f"a word's template should begin <TOKEN>{{word}}<TOKEN>, found {self.template!r}")
        if not self.features and "features" in fields_of(self.template):
            raise ValueError("the word's template has {features}, but the block has no features")
        for pattern in self.features:
            check_pattern(pattern)
        return self


class DecodingSpec(_Block):
    """The family's own way to sample. What it changes is not the policy's own distribution."""

    temperature: Rate = 1.0
    top_k: Annotated[int, Field(ge=0)] = 0
    top_p: Annotated[float, Field(gt=0, le=1, strict=False)] = 1.0
    min_p: Annotated[float, Field(ge=0, lt=1, strict=False)] = 0.0
    repetition_penalty: Annotated[float, Field(ge=1, strict=False)] = 1.0
    penalty_window: Annotated[int, Field(ge=0)] = 0  # tokens looked back at; 0: all
    min_new_tokens: Annotated[int, Field(ge=0)] = 0


Template = str | dict[str, str]  # text, or messages of the tokenizer's chat template by role


class LayoutSpec(_Block):
    """A layout as its file says it; :mod:`model.layouts.layout` resolves it with a tokenizer."""

    codec: CodecSpec | None = None
    text: str | list[str] = "as_is"
    context: Template | None = None  # without a voice prompt's codes
    prompted: Template | None = None  # with them
    completion: str = "{codes}"
    prompted_completion: str = "{codes}"
    codes: CodesSpec
    globals: GlobalsSpec | None = None
    features: list[Pattern] = []
    word: WordSpec | None = None
    stop: Annotated[list[str], Field(min_length=1)]
    decoding: DecodingSpec = DecodingSpec()

    @model_validator(mode="after")
    def _check(self) -> LayoutSpec:
        check_steps(self.steps)
        for pattern in self.features:
            check_pattern(pattern)
        if self.context is None and self.prompted is None:
            raise ValueError("context or prompted is needed")
        for template, allowed, needed in (
            (self.context, CONTEXT_FIELDS, {"text"}),
            (self.prompted, PROMPTED_FIELDS, {"text"}),
        ):
            if template is not None:
                texts = [template] if isinstance(template, str) else list(template.values())
                if isinstance(template, dict) and [*template][-1:] != ["assistant"]:
                    raise ValueError(f"messages should end with the assistant's, found the roles {[*template]}")
                check_template("".join(texts), allowed, needed)
                if self.globals is None and "{globals}" in "".join(texts):
                    raise ValueError("a template has {globals}, but there is no block globals")
        if isinstance(self.prompted, str) and not {"prompt_codes", "prompt_words"} & fields_of(self.prompted):
            raise ValueError("prompted has neither {prompt_codes} nor {prompt_words}")
        for completion in (self.completion, self.prompted_completion):
            check_template(completion, COMPLETION_FIELDS, set())
            if len({"codes", "words"} & fields_of(completion)) != 1:
                raise ValueError(f"a completion has either {{codes}} or {{words}}, found {completion!r}")
            if "features" in fields_of(completion) and not self.features:
                raise ValueError("a completion has {features}, but the layout lists no features")
            if "words" in fields_of(completion) and self.word is None:
                raise ValueError("a completion has {words}, but there is no block word")
        return self

    def with_prefix(self, prefix: str) -> LayoutSpec:
        """Return the layout with words before each text to say, which its front end leaves as they are."""

        def prefixed(template: Template | None) -> Template | None:
            if isinstance(template, dict):
                return {role: message.replace("{text}", f"{prefix}{{text}}") for role, message in template.items()}
            return template if template is None else template.replace("{text}", f"{prefix}{{text}}")

        return self.model_copy(update={"context": prefixed(self.context), "prompted": prefixed(self.prompted)})

    @property
    def prompt_fields(self) -> set[str]:
        """The fields of what is given with a voice prompt."""
        texts = [self.prompted] if isinstance(self.prompted, str) else [*(self.prompted or {}).values()]
        return set().union(*map(fields_of, texts))

    @property
    def steps(self) -> list[str]:
        """The text front end, step by step."""
        return [self.text] if isinstance(self.text, str) else self.text
