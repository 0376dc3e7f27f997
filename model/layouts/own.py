"""The tokenizer of this project's own AR, as an ordinary ``tokenizer.json``.

Ids are five marks, the characters, then the codebook. With the file in its folder, the AR is one more checkpoint with a
layout (``own``). Another character set gives a tokenizer for another language.
"""

from __future__ import annotations

import json
from pathlib import Path

from tokenizers import AddedToken, Regex, decoders, models, pre_tokenizers
from tokenizers import Tokenizer as Backend

from model.alphabet import CHARACTERS, check_alphabet
from model.errors import InputError
from model.layouts.files import read_layout
from model.layouts.layout import Layout
from model.layouts.tokenizer import SETTINGS, TOKENIZER, Tokenizer

PAD, BOS, EOS, PROMPT, SPEECH = range(5)
MARKS = {PAD: "<pad>", BOS: "<s>", EOS: "</s>", PROMPT: "<prompt>", SPEECH: "<speech>"}
CODE = "<c_{}>"


def build_tokenizer(codebook_size: int, characters: str = CHARACTERS) -> Backend:
    """Return the tokenizer of a codebook size and character set.

    Raises:
        InputError: no code, or characters that are no alphabet (:func:`model.alphabet.check_alphabet`).
    """
    if codebook_size < 1:
        raise InputError(f"the codebook should have a code or more, found {codebook_size}")
    try:
        check_alphabet(characters)
    except ValueError as error:
        raise InputError(f"characters of the policy: {error}") from error
    names = [MARKS[i] for i in range(len(MARKS))]
    names += [*characters, *(CODE.format(code) for code in range(codebook_size))]
    # Without an unknown token, a character outside the set is an error and not a guess.
    backend = Backend(models.WordLevel({name: i for i, name in enumerate(names)}))
    backend.pre_tokenizer = pre_tokenizers.Split(Regex(r"[\s\S]"), "isolated")
    backend.decoder = decoders.Fuse()
    backend.add_special_tokens([AddedToken(name, special=True, normalized=False) for name in MARKS.values()])
    codes = [AddedToken(CODE.format(code), normalized=False) for code in range(codebook_size)]
    backend.add_tokens(codes)
    return backend


def build_layout(codebook_size: int, characters: str = CHARACTERS, layout: str = "own") -> Layout:
    """Return a layout joined with the tokenizer of a codebook size and character set.

    Raises:
        InputError: as for :func:`build_tokenizer`, or a layout with other tokens.
    """
    tokenizer = Tokenizer(build_tokenizer(codebook_size, characters), "the own tokenizer")
    return Layout.resolve(layout, read_layout(layout), tokenizer)


def save_tokenizer(backend: Backend, folder: Path) -> None:
    """Write ``tokenizer.json`` and ``tokenizer_config.json``, so that ``AutoTokenizer`` loads the folder too."""
    folder.mkdir(parents=True, exist_ok=True)
    backend.save(str(folder / TOKENIZER))
    marks = {"bos_token": MARKS[BOS], "eos_token": MARKS[EOS], "pad_token": MARKS[PAD]}
    settings = {"tokenizer_class": "PreTrainedTokenizerFast", "clean_up_tokenization_spaces": False, **marks}
    (folder / SETTINGS).write_text(json.dumps(settings, indent=2) + "\n", encoding="utf-8")


def write_tokenizer(folder: str | Path, codebook_size: int, characters: str = CHARACTERS) -> None:
    """Write the tokenizer of a codebook size and character set to a folder.

    Raises:
        InputError: as for :func:`build_tokenizer`.
    """
    save_tokenizer(build_tokenizer(codebook_size, characters), Path(folder))
