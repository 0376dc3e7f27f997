"""A layout joined with a tokenizer: text, voice prompt and codes to token ids, and back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import numpy.typing as npt

from model.drawable import Drawable
from model.errors import InputError
from model.frames.tokenizer import load_tokenizer
from model.layouts import template as templates
from model.layouts.codes import CodeTokens, resolve_codes
from model.layouts.fields import CONTEXT_FIELDS, PROMPTED_FIELDS, check_template
from model.layouts.files import LAYOUT_FILE, own_layout, read_layout
from model.layouts.front_ends import prepare_text
from model.layouts.grammar import drawable_of
from model.layouts.reading import Reader
from model.layouts.spec import LayoutError, LayoutSpec, Template
from model.layouts.speech import Read, Speech, VoicePrompt
from model.layouts.template import Literal, Part, Slot
from model.layouts.tokenizer import Tokenizer
from model.layouts.writing import Writer

NO_VOICE = VoicePrompt()
Ids = Sequence[int] | npt.NDArray[np.integer]


@dataclass(frozen=True)
class Layout:
    """How one checkpoint writes a sequence: ``context`` is given, ``target`` is what the model writes.

    Both are lists of token ids of the checkpoint's own tokenizer. :meth:`read` is the inverse of :meth:`target`.
    """

    name: str
    spec: LayoutSpec
    tokenizer: Tokenizer
    code_tokens: CodeTokens
    global_tokens: npt.NDArray[np.int64]  # (size,), empty without globals
    stops: tuple[int, ...]  # a target ends with the first; sampling ends at any
    contexts: dict[bool, tuple[Part, ...]]  # with and without a voice prompt's codes, where the layout has them
    completions: dict[bool, tuple[Part, ...]]
    word: tuple[Part, ...]

    @cached_property
    def reader(self) -> Reader:
        """The inverse of writing."""
        return Reader(self.spec, self.tokenizer, self.code_tokens, self.word)

    @cached_property
    def writer(self) -> Writer:
        """What fills the fields of a template."""
        return Writer(
            self.name, self.spec, self.tokenizer, self.code_tokens, self.global_tokens, self.word, self.reader
        )

    @classmethod
    def load(cls, name_or_file: str, folder: str | Path) -> Layout:
        """Return the layout of a name or YAML file for the tokenizer of a checkpoint's folder.

        Raises:
            LayoutError: no such layout, no tokenizer, or the two do not fit together.
        """
        path = Path(name_or_file)
        name = name_or_file if path.name == LAYOUT_FILE else path.stem
        return cls.resolve(name, read_layout(name_or_file), load_tokenizer(folder))

    @classmethod
    def of_policy(cls, folder: str | Path, name_or_file: str | None = None) -> Layout:
        """Return the layout of a policy's folder: its own ``layout.yaml`` unless another one is named.

        Raises:
            LayoutError: as for :meth:`load`.
        """
        return cls.load(name_or_file or str(own_layout(Path(folder))), folder)

    @classmethod
    def resolve(
        cls, name: str, spec: LayoutSpec, tokenizer: Tokenizer, code_tokens: CodeTokens | None = None
    ) -> Layout:
        """Join a layout with a tokenizer.

        Args:
            code_tokens: the layout's, if they are known: finding 65,536 of them takes a moment.

        Raises:
            LayoutError: tokens that are missing, overlap, or number other than the layout says.
        """
        try:
            stops = tuple(tokenizer.single(token, "the stop token") for token in spec.stop)
            contexts = {
                prompted: templates.resolve(_plain(template, tokenizer, allowed), tokenizer)
                for prompted, template, allowed in (
                    (False, spec.context, CONTEXT_FIELDS),
                    (True, spec.prompted, PROMPTED_FIELDS),
                )
                if template is not None
            }
            layout = cls(
                name=name,
                spec=spec,
                tokenizer=tokenizer,
                code_tokens=code_tokens or resolve_codes(spec.codes, tokenizer),
                global_tokens=_global_tokens(spec, tokenizer),
                stops=stops,
                contexts=contexts,
                completions={
                    False: templates.resolve(spec.completion, tokenizer),
                    True: templates.resolve(spec.prompted_completion, tokenizer),
                },
                word=templates.resolve(spec.word.template, tokenizer) if spec.word else (),
            )
            layout._check_apart()
        except LayoutError as error:
            raise LayoutError(f"layout {name}: {error}") from error
        return layout

    def with_prefix(self, prefix: str) -> Layout:
        """Return the layout with words before each text to say."""
        return self.resolve(self.name, self.spec.with_prefix(prefix), self.tokenizer, self.code_tokens)

    @cached_property
    def drawable(self) -> Drawable:
        """The tokens that a sample without a voice prompt may have, each in its place, and what ends it."""
        return drawable_of(self.reader, self.completions[False], self.stops)

    def most_tokens(self, text: str, frames: int) -> int:
        """Return the limit of a sample of a text that has so many frames: with words, their text and marks too."""
        codes = frames * len(self.code_tokens.slots)
        if self.spec.word is None:
            return codes
        words, marks = len(text.split()), len(self.drawable.states)  # states: a word's marks and features, and more
        return codes + 2 * len(self.tokenizer.encode(self._text(text))) + (words + 1) * marks

    def context(self, text: str, voice: VoicePrompt = NO_VOICE) -> list[int]:
        """Return what the model is given.

        Raises:
            InputError: a text that the front end or tokenizer cannot read, or a voice without what the layout needs.
        """
        parts = self.contexts.get(voice.has_codes)
        if parts is None:
            wanted, found = ("no recording", "one") if voice.has_codes else ("a recording of the voice", "none")
            raise InputError(f"layout {self.name} takes {wanted} as voice prompt, found {found}")
        slots = {
            "globals": lambda: self.writer.globals(voice),
            "prompt_codes": lambda: self.writer.codes(voice.speech.levels),
        }
        slots["prompt_words"] = lambda: self.writer.words(voice.speech)
        texts = {"text": lambda: self._text(text), "speaker": lambda: self.writer.speaker(voice)}
        texts["prompt_text"] = lambda: self._text(voice.text)
        used = {name for part in parts if isinstance(part, Literal) for name, is_field in part.pieces if is_field}
        return templates.write(
            parts,
            self.tokenizer,
            {name: texts[name]() for name in used},
            {part.name: slots[part.name]() for part in parts if isinstance(part, Slot)},
        )

    def target(self, speech: Speech, finished: bool = True, prompted: bool = False) -> list[int]:
        """Return what the model should write: the completion and, unless it was cut off, the stop token.

        Args:
            prompted: whether the context has a voice prompt's codes.

        Raises:
            InputError: codes out of range, or no whole frames.
        """
        parts = self.completions[prompted]
        slots = {
            "codes": lambda: self.writer.codes(speech.levels),
            "words": lambda: self.writer.words(speech),
            "features": lambda: self.writer.features(self.spec.features, speech.features),
        }
        filled = {part.name: slots[part.name]() for part in parts if isinstance(part, Slot)}
        ids = templates.write(parts, self.tokenizer, {}, filled)
        return [*ids, self.stops[0]] if finished else ids

    def read(self, target: Ids, prompted: bool = False) -> Read:
        """Return the speech of a target; globals stay with the voice prompt that gave them.

        Without a stop token at its end, a last frame that is cut off is left out.

        Raises:
            InputError: a token where the layout has another, or codes that are no whole frames.
        """
        ids = [int(token) for token in target]
        finished = bool(ids) and ids[-1] in self.stops
        ids = ids[:-1] if finished else ids
        speech, at = self.reader.completion(self.completions[prompted], ids, finished)
        if at < len(ids):
            raise InputError(
                f"token {at}: expected a code or {self.spec.stop[0]}, found {self.tokenizer.name(ids[at])}"
            )
        return Read(speech, finished)

    def _text(self, text: str) -> str:
        return prepare_text(text, self.spec.steps)

    def _check_apart(self) -> None:
        """Refuse code tokens that are stop tokens, template tokens or globals too."""
        parts = [*self.contexts.get(False, ()), *self.contexts.get(True, ()), *self.word]
        parts += [*self.completions[False], *self.completions[True]]
        named = {name for part in parts if isinstance(part, Literal) for name in part.names}
        others = {*self.stops, *(self.tokenizer.single(name, "the template's") for name in named)}
        if shared := sorted((others | set(self.global_tokens.tolist())) & self.code_tokens.all):
            raise LayoutError(f"the code token {self.tokenizer.name(shared[0])} has another purpose too")


def _plain(template: Template, tokenizer: Tokenizer, allowed: frozenset[str]) -> str:
    """Return a template as text: messages by role become what the tokenizer's chat template makes of them."""
    if isinstance(template, str):
        return template
    text = tokenizer.chat(template)
    try:
        check_template(text, allowed, {"text"})
    except ValueError as error:
        raise LayoutError(f"the chat template next to {tokenizer.where} gives no usable template: {error}") from error
    return text


def _global_tokens(spec: LayoutSpec, tokenizer: Tokenizer) -> npt.NDArray[np.int64]:
    if spec.globals is None:
        return np.zeros(0, dtype=np.int64)
    found = [tokenizer.find(spec.globals.token.format(code)) for code in range(spec.globals.size)]
    if missing := [code for code, token in enumerate(found) if token is None]:
        raise LayoutError(
            f"{len(missing)} of {spec.globals.size} global tokens are missing from {tokenizer.where}, the first is "
            f"{spec.globals.token.format(missing[0])}"
        )
    return np.asarray(found, dtype=np.int64)
