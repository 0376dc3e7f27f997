"""The YAML file of a layout, read strictly."""

from __future__ import annotations

import re
import string
from pathlib import Path
from typing import Annotated, Any

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from model.errors import InputError
from model.layouts.front_ends import check_steps

FOLDER = Path(__file__).parent
LAYOUT_FILE = "layout.yaml"  # in the folder of a policy

CONTEXT_FIELDS = frozenset({"text", "speaker", "globals"})
PROMPTED_FIELDS = CONTEXT_FIELDS | {"prompt_text", "prompt_codes", "prompt_words"}
COMPLETION_FIELDS = frozenset({"codes", "words", "features"})
WORD_FIELDS = frozenset({"word", "codes", "features"})

Count = Annotated[int, Field(gt=0)]
Rate = Annotated[float, Field(gt=0, strict=False)]
_AROUND_WORD = re.compile(r"(<[^<>{}\s]+>)+\{word\}(<[^<>{}\s]+>)")
Pattern = str  # of a token's name, with one {} for the number or value


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


def fields_of(template: str) -> set[str]:
    """Return the names of the ``{fields}`` of a template."""
    return {name for _, name, _, _ in string.Formatter().parse(template) if name is not None}


def check_template(template: str, allowed: frozenset[str], needed: set[str]) -> None:
    """Refuse a template with another field than ``allowed``, a field twice, or without one that is ``needed``."""
    try:
        parsed = [(name, spec, change) for _, name, spec, change in string.Formatter().parse(template)]
    except ValueError as error:
        raise ValueError(f"the template {template!r} is not well formed: {error}") from error
    names = [name for name, _, _ in parsed if name is not None]
    if unknown := sorted(set(names) - allowed):
        raise ValueError(f"the template {template!r} has {{{unknown[0]}}}; expected {', '.join(sorted(allowed))}")
    if missing := sorted(needed - set(names)):
        raise ValueError(f"the template {template!r} has no {{{missing[0]}}}")
    if len(names) != len(set(names)) or any(spec or change for _, spec, change in parsed):
        raise ValueError(f"the template {template!r} should have each field once, and plain")


def check_pattern(pattern: Pattern) -> Pattern:
    """Refuse a pattern without exactly one ``{}``."""
    if pattern.count("{}") != 1 or pattern.replace("{}", "").count("{") or pattern.replace("{}", "").count("}"):
        raise ValueError(f"a token's pattern should have one {{}}, found {pattern!r}")
    return pattern


def shipped() -> list[str]:
    """Return the names of this folder's layouts."""
    return sorted(path.stem for path in FOLDER.glob("*.yaml"))


def own_layout(folder: Path | None) -> Path:
    """Return the layout that lies in a policy's folder.

    Raises:
        LayoutError: there is none.
    """
    file = Path(folder or "") / LAYOUT_FILE
    if not file.is_file():
        raise LayoutError(
            f"no {LAYOUT_FILE} in {folder}: name the layout of its sequences by policy.layout (`speechalign layout "
            "list` shows the known ones)"
        )
    return file


def layout_file(name_or_file: str) -> Path:
    """Return the file of a layout: a name from :func:`shipped`, or a path that ends in ``.yaml``.

    Raises:
        LayoutError: there is no such layout.
    """
    path = FOLDER / f"{name_or_file}.yaml" if name_or_file in shipped() else Path(name_or_file)
    if path.suffix not in (".yaml", ".yml") or not path.is_file():
        raise LayoutError(f"no layout {name_or_file!r}: expected one of {', '.join(shipped())}, or a YAML file")
    return path


def read_layout(name_or_file: str) -> LayoutSpec:
    """Read a layout by name or file.

    Raises:
        LayoutError: no such file, not YAML, or fields that are missing, unknown or impossible.
    """
    file = layout_file(name_or_file)
    try:
        content: Any = yaml.safe_load(file.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise LayoutError(f"{file} is not YAML in UTF-8: {error}") from error
    if not isinstance(content, dict):
        raise LayoutError(f"{file} should hold named fields, found {type(content).__name__}")
    try:
        return LayoutSpec.model_validate(content)
    except ValidationError as error:
        raise LayoutError(f"{file}: {_one_line(error)}") from error


def write_layout(spec: LayoutSpec, file: Path) -> None:
    """Write a layout as YAML: what it says, without comments."""
    content = spec.model_dump(exclude_defaults=True)
    file.write_text(yaml.safe_dump(content, sort_keys=False, allow_unicode=True, width=110), encoding="utf-8")


def _one_line(error: ValidationError) -> str:
    """Return every problem, each with its place in the file."""
    problems = []
    for problem in error.errors():
        place = ".".join(str(part) for part in problem["loc"] if not str(part).startswith("list["))
        message = problem["msg"].removeprefix("Value error, ")
        found = "" if problem["type"] in ("missing", "value_error") else f", found {problem['input']!r}"
        problems.append(f"{place}: {message}{found}" if place else f"{message}{found}")
    return "; ".join(dict.fromkeys(problems))
