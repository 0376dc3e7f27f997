"""A checkpoint's own tokenizer: ids by token name, text to ids without surprises."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer as Backend
from tokenizers.models import WordLevel

from model.config import read
from model.errors import InputError
from model.layouts.spec import LayoutError

TOKENIZER, SETTINGS, CHAT = "tokenizer.json", "tokenizer_config.json", "chat_template.jinja"
CHAT_DATE = "26 Jul 2024"  # what Llama's chat template puts where it knows no date: otherwise sequences vary by the day


class Tokenizer:
    """The tokenizer of a folder's ``tokenizer.json``, and its chat template if there is one."""

    def __init__(self, backend: Backend, where: str, chat_template: str | None = None):
        self.backend, self.where, self.chat_template = backend, where, chat_template

    @classmethod
    def load(cls, folder: str | Path) -> Tokenizer:
        """Load a folder's tokenizer; nothing is fetched and no code of the folder runs.

        Raises:
            LayoutError: no ``tokenizer.json``, or one that is damaged.
        """
        file = Path(folder) / TOKENIZER
        if not file.is_file():
            raise LayoutError(
                f"no {TOKENIZER} in {folder}; load the model's tokenizer with transformers and save it there by "
                "save_pretrained"
            )
        try:
            backend = Backend.from_file(str(file))
        except Exception as error:  # the package raises nothing narrower
            raise LayoutError(f"{file} is damaged, or made by a newer version of tokenizers: {error}") from error
        backend.no_padding()
        backend.no_truncation()
        return cls(backend, str(file), _chat_template(Path(folder)))

    @property
    def size(self) -> int:
        """One more than the highest id."""
        return max(self.backend.get_vocab(with_added_tokens=True).values(), default=-1) + 1

    def find(self, token: str) -> int | None:
        """Return a token's id by its name, or None."""
        return self.backend.token_to_id(token)

    def name(self, token_id: int) -> str:
        """Return a token's name, for messages."""
        return self.backend.id_to_token(token_id) or f"id {token_id}"

    def single(self, token: str, purpose: str) -> int:
        """Return the id of a name that must be one token.

        Raises:
            LayoutError: it is none, or text that mentions it is split into several.
        """
        found = self.find(token)
        try:
            pieces = self.backend.encode(token, add_special_tokens=False).ids
        except Exception:  # the package raises nothing narrower, for a character without a token
            pieces = []
        if found is None or pieces != [found]:
            split = f"it would be the {len(pieces)} tokens {[self.name(i) for i in pieces]}" if pieces else "unreadable"
            raise LayoutError(f"{purpose} {token} is not one token of {self.where} ({split})")
        return found

    def encode(self, text: str, names: Sequence[str] = ()) -> list[int]:
        """Return the ids of a text in which exactly these token names occur, in this order.

        The text is encoded whole, as the families do, because a tokenizer may merge across fields. It must hold no
        other added token: a text that names one would write structure, not words.

        Raises:
            InputError: a character that the tokenizer would drop or replace, or a token name inside of the text.
        """
        try:
            encoding = self.backend.encode(text, add_special_tokens=False)
        except Exception as error:  # the package raises nothing narrower, for a character without a token
            raise self._unreadable(text, names) from error
        added = [self.backend.id_to_token(i) for i in encoding.ids if i in self._added]
        if added != list(names):
            strange = next((a for a, b in zip(added, [*names, None], strict=False) if a != b), "")
            raise InputError(f"the text {text!r} holds the token {strange}; a text may not name tokens of the model")
        unknown = self._unknown is not None and self._unknown in encoding.ids
        covered = sum(len(range(*span)) for span in set(encoding.offsets))
        if unknown or covered < len("".join(text.split())):
            raise self._unreadable(text, names)
        return encoding.ids

    def decode(self, ids: Sequence[int]) -> str:
        """Return the text of ids."""
        return self.backend.decode(list(ids), skip_special_tokens=False)

    def chat(self, messages: dict[str, str]) -> str:
        """Return what the tokenizer's chat template makes of messages by role; the last one is to be continued.

        Raises:
            LayoutError: there is no chat template, or it fails on these messages.
        """
        if self.chat_template is None:
            raise LayoutError(
                f"the layout needs a chat template, but there is neither {CHAT} nor one in {SETTINGS} next to "
                f"{self.where}"
            )
        from transformers import PreTrainedTokenizerFast

        # An empty tokenizer renders the template as well as the model's, whose copy would take seconds.
        plain = PreTrainedTokenizerFast(tokenizer_object=Backend(WordLevel()), **self._special_names)
        conversation = [{"role": role, "content": content} for role, content in messages.items()]
        try:
            return plain.apply_chat_template(
                conversation,
                chat_template=self.chat_template,
                tokenize=False,
                continue_final_message=True,
                date_string=CHAT_DATE,
            )
        except Exception as error:  # a template is a program and may fail in any way
            raise LayoutError(f"the chat template next to {self.where} fails on this layout: {error}") from error

    @cached_property
    def _special_names(self) -> dict[str, str]:
        """Names that a chat template may use: ``bos_token`` and ``eos_token``."""
        file = Path(self.where).parent / SETTINGS
        fields = read(file) if file.is_file() else {}
        names = {}
        for field in ("bos_token", "eos_token"):
            value = fields.get(field)
            content = value.get("content") if isinstance(value, dict) else value
            if isinstance(content, str):
                names[field] = content
        return names

    @cached_property
    def _added(self) -> frozenset[int]:
        return frozenset(self.backend.get_added_tokens_decoder())

    @cached_property
    def _unknown(self) -> int | None:
        token = getattr(self.backend.model, "unk_token", None)
        return self.find(token) if isinstance(token, str) else None

    def _unreadable(self, text: str, names: Sequence[str]) -> InputError:
        """Return the error for a text with characters that have no token, naming them."""
        bare = text
        for name in names:
            bare = bare.replace(name, "")
        lost = [character for character in sorted(set(bare)) if not self._reads(character)]
        return InputError(
            f"the tokenizer {self.where} cannot read {''.join(lost)!r} in the text {bare!r}; change the text, or name "
            "a text front end in the layout that replaces it"
        )

    def _reads(self, character: str) -> bool:
        try:
            ids = self.backend.encode(character, add_special_tokens=False).ids
        except Exception:  # as in encode
            return False
        return bool(character.isspace() or ids) and self._unknown not in ids


def _chat_template(folder: Path) -> str | None:
    if (folder / CHAT).is_file():
        return (folder / CHAT).read_text(encoding="utf-8")
    if not (folder / SETTINGS).is_file():
        return None
    template: Any = read(folder / SETTINGS).get("chat_template")
    return template if isinstance(template, str) else None
