"""Tokenizers with the token names of each shipped layout's family, made here; ids are the family's where known."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from pathlib import Path

import torch
import yaml
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedModel

from model.layouts.files import layout_file
from model.layouts.own import write_tokenizer
from model.layouts.tokenizer import Tokenizer as Layouts

MERGES = [("t", "h"), ("th", "e"), ("o", "n"), ("Ġ", "t"), ("e", "r"), ("Ġ", "o"), (":", "Ġ"), (".", "Ġ")]
# Llama 3's template in short: with the date, and trimmed contents.
CHAT = (
    "{{ bos_token }}<|start_header_id|>system<|end_header_id|>\n\nToday Date: {{ date_string }}\n\n<|eot_id|>"
    "{% for m in messages %}<|start_header_id|>{{ m.role }}<|end_header_id|>\n\n{{ m.content | trim }}<|eot_id|>"
    "{% endfor %}"
)


def numbered(pattern: str, n: int) -> list[str]:
    return [pattern.format(i) for i in range(n)]


def backend(tokens: Iterable[str], first_id: int = 0) -> Tokenizer:
    """A byte-level BPE with these tokens added in order, the first of them with this id (0: the next free one)."""
    names = [*sorted(pre_tokenizers.ByteLevel.alphabet()), *("".join(pair) for pair in MERGES)]
    names += [f"unused {i}" for i in range(first_id - len(names))]
    made = Tokenizer(models.BPE(vocab={name: i for i, name in enumerate(names)}, merges=MERGES))
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    made.add_tokens([AddedToken(name, normalized=False) for name in tokens])
    return made


def llama_tokens() -> list[str]:
    """Llama 3's 256 special tokens, from id 128000 on."""
    names = [f"<|reserved_special_token_{i}|>" for i in range(256)]
    known = {0: "<|begin_of_text|>", 1: "<|end_of_text|>", 6: "<|start_header_id|>", 7: "<|end_header_id|>"}
    return [({**known, 9: "<|eot_id|>"}).get(i, name) for i, name in enumerate(names)]


def tokens_of(family: str, size: int) -> list[str]:
    """The added tokens of a family whose codec has this many codes per level."""
    features = ("<|energy_{}|>", "<|spectral_centroid_{}|>", "<|pitch_{}|>")
    times = [f"<|t_{i / 100:.2f}|>" for i in range(100)]
    return {
        "llasa": lambda: [
            *llama_tokens(),
            *(f"<|TEXT_{part}_{end}|>" for part in ("GENERATION", "UNDERSTANDING") for end in ("START", "END")),
            *(f"<|SPEECH_{part}_{end}|>" for part in ("GENERATION", "UNDERSTANDING") for end in ("START", "END")),
            *numbered("<|s_{}|>", size),
        ],
        "orpheus": lambda: [*llama_tokens(), *numbered("<custom_token_{}>", 10 + 7 * size)],
        "neutts": lambda: [
            *("<|TEXT_PROMPT_START|>", "<|TEXT_PROMPT_END|>"),
            *("<|SPEECH_GENERATION_START|>", "<|SPEECH_GENERATION_END|>"),
            *numbered("<|speech_{}|>", size),
        ],
        "spark": lambda: [
            *("<|im_start|>", "<|im_end|>", "<|task_tts|>", "<|start_content|>", "<|end_content|>"),
            *("<|start_global_token|>", "<|end_global_token|>", "<|start_semantic_token|>"),
            *numbered("<|bicodec_global_{}|>", 4096),
            *numbered("<|bicodec_semantic_{}|>", size),
        ],
        "cosyvoice2": lambda: [
            *numbered("<|s_{}|>", size),
            *("<|eos1|>", "<|eos2|>", "<|eos3|>", "<|sos|>", "<|task_id|>"),
        ],
        "outetts": lambda: [
            *("<|im_start|>", "<|im_end|>", "<|text_start|>", "<|text_end|>", "<|audio_start|>", "<|audio_end|>"),
            *("<|word_start|>", "<|word_end|>", "<|features|>", "<|code|>"),
            *("<|global_features_start|>", "<|global_features_end|>"),
            *(token for pattern in features for token in numbered(pattern, 101)),
            *times,
            *numbered("<|c1_{}|>", size + 1),
            *numbered("<|c2_{}|>", size + 1),
        ],
        "template": lambda: ["<|im_start|>", "<|im_end|>", "<|speech|>", *numbered("<|speech_{}|>", size)],
    }[family]()


FIRST_ID = {"llasa": 128000, "orpheus": 128000}
SIZES = {"llasa": 65536, "orpheus": 4096, "neutts": 65536, "spark": 8192, "cosyvoice2": 6561, "outetts": 1024}
SIZES |= {"template": 2048, "own": 256, "own_transcript": 256}
FAMILIES = sorted(SIZES)


def make_tokenizer(family: str, folder: Path, size: int | None = None, compact: bool = False) -> Path:
    """Write a family's tokenizer to a folder and return the folder.

    Args:
        size: codes per level, by default the family's.
        compact: give ids without gaps, for small models.
    """
    folder.mkdir(parents=True, exist_ok=True)
    size = size or SIZES[family]
    if family.startswith("own"):
        write_tokenizer(folder, size)
        return folder
    backend(tokens_of(family, size), 0 if compact else FIRST_ID.get(family, 0)).save(str(folder / "tokenizer.json"))
    if family == "llasa":
        eos = {"__type": "AddedToken", "content": "<|eot_id|>", "normalized": False, "special": True}
        settings = {"chat_template": CHAT, "bos_token": "<|begin_of_text|>", "eos_token": eos}
        (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    return folder


def small_layout(family: str, file: Path, size: int, change: Callable[[dict], None] = lambda _: None) -> str:
    """Write a shipped layout with a smaller codebook, changed further by ``change``, and return the file's path."""
    content = yaml.safe_load(layout_file(family).read_text())
    if "size" in content["codes"]:
        content["codes"]["size"] = size
    if "per_slot" in content["codes"]:
        content["codes"]["per_slot"] = size
    change(content)
    file.write_text(yaml.safe_dump(content, sort_keys=False))
    return str(file)


def discourage_text(model: PreTrainedModel, tokenizer: Layouts) -> None:
    """Give text little probability: drawn as likely as all else, there is hardly a code among its many tokens."""
    added = tokenizer.backend.get_added_tokens_decoder()
    with torch.no_grad():
        model.get_input_embeddings().weight[:, 0] = 1.0  # the others are of 0.02: this direction is always the same
        model.get_output_embeddings().weight[[i for i in range(tokenizer.size) if i not in added], 0] = -1.5
