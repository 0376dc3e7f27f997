"""Train a small Whisper: ``python -m bootstrap.train_recognizer``.

Two runs of this program make the judge, each named by its block of the params file. ``recognizer_golden`` learns to
transcribe golden speech; a CTC loss helps the encoder to find the words before the decoder can attend to them.
``recognizer`` continues with golden and codec-resynthesized speech.

Three things make it small enough for one thread and honest enough to judge with:

* The vocabulary is Whisper's own 51,864 tokens, but the texts use 13 of them. Only those rows are trained. The others
  stay zero, so their logits are 0 and the full softmax is computed exactly as 13 logits and one constant.
* Windows hold up to four utterances of any voice, joined with silences. Guessing a training text or the usual number of
  words does not pay. Some windows hold noise or nothing, and their text is empty.
* Part of the speech went through the codec, some of it through the lower codebooks only. That brings the artifacts of a
  synthesizer's tokens without the judged system's own output.

Writes ``<work>/<out>``. It is resumable: the state goes to ``<work>/<out>_state`` every 500 steps, serves a run of the
same settings and data only (:mod:`bootstrap.resuming`), and is removed once the recognizer is written.
"""

from __future__ import annotations

import json
import math
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
import typer
import whisper
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from whisper.model import ModelDimensions, Whisper

from bootstrap import resuming
from model.codecs.base import Codec
from model.codecs.registry import load_codec
from model.errors import TrainingError
from model.judges import asr
from tasks.common import digits, yaml12
from tasks.common.files import atomic_path
from tasks.common.stage import one_message

N_VOCAB = 51864  # Whisper's English vocabulary
SAMPLE_RATE = whisper.audio.SAMPLE_RATE
IGNORE = -100


class Vocabulary:
    """The tokens that the texts use, numbered 0..n-1; ``ids[i]`` is token i's number in Whisper's vocabulary."""

    def __init__(self) -> None:
        self.tokenizer = whisper.tokenizer.get_tokenizer(multilingual=False)
        self.start = list(self.tokenizer.sot_sequence_including_notimestamps)
        words = {token for word in digits.WORDS for token in self.tokenizer.encode(" " + word)}
        self.ids = [*self.start, self.tokenizer.eot, *sorted(words)]
        self.index = {token: i for i, token in enumerate(self.ids)}

    def encode(self, text: str) -> list[int]:
        """Return start tokens, the text's tokens and the end token."""
        tokens = self.start + (self.tokenizer.encode(" " + text) if text else []) + [self.tokenizer.eot]
        return [self.index[t] for t in tokens]


def build(dims: ModelDimensions) -> Whisper:
    """Return an untrained Whisper. The package leaves the decoder's positions uninitialized, because it loads them."""
    model = Whisper(dims)
    torch.nn.init.normal_(model.decoder.positional_embedding, std=0.05)
    torch.nn.init.normal_(model.decoder.token_embedding.weight, std=0.2)
    return model


def widen(model: Whisper, vocabulary: Vocabulary) -> Whisper:
    """Return the model over all of Whisper's tokens: the trained rows in their places, the others zero."""
    full = Whisper(replace(model.dims, n_vocab=N_VOCAB))
    state = {k: v.clone() for k, v in model.state_dict().items()}
    rows = torch.zeros(N_VOCAB, model.dims.n_text_state)
    rows[vocabulary.ids] = state["decoder.token_embedding.weight"]
    full.load_state_dict({**state, "decoder.token_embedding.weight": rows})
    return full


def narrow(model: Whisper, vocabulary: Vocabulary) -> Whisper:
    """Invert :func:`widen`: keep only the rows that the texts use."""
    small = Whisper(replace(model.dims, n_vocab=len(vocabulary.ids)))
    state = model.state_dict()
    rows = state["decoder.token_embedding.weight"][vocabulary.ids]
    small.load_state_dict({**state, "decoder.token_embedding.weight": rows})
    return small


def text_loss(model: Whisper, features: torch.Tensor, tokens: torch.Tensor, n_start: int) -> torch.Tensor:
    """Return cross-entropy (nats per token) over the whole vocabulary, on text and end tokens only.

    Args:
        features: the encoder's, ``(batch, n_audio_ctx, n_audio_state)``.
        tokens: ``(batch, length)``, IGNORE where a row has ended.
    """
    inputs, targets = tokens[:, :-1].clamp(min=0), tokens[:, 1:].clone()
    targets[:, : n_start - 1] = IGNORE  # start tokens are given, not predicted
    logits = model.decoder(inputs, features)
    # N untrained rows with logit 0 add N * exp(0) to the softmax's denominator: one logit of ln N.
    others = logits.new_full((*logits.shape[:-1], 1), math.log(N_VOCAB - logits.shape[-1]))
    return F.cross_entropy(torch.cat([logits, others], -1).flatten(0, 1), targets.flatten(), ignore_index=IGNORE)


def ctc_loss(head: torch.nn.Module, features: torch.Tensor, tokens: torch.Tensor, n_special: int) -> torch.Tensor:
    """Return the CTC loss (nats per word, blank 0) on the encoder's frames; a row without words counts as one word."""
    is_word = tokens >= n_special
    log_probs = head(features).log_softmax(-1).transpose(0, 1)  # (frames, batch, words + 1)
    frames = torch.full((len(tokens),), features.shape[1])
    return F.ctc_loss(log_probs, tokens[is_word] - n_special + 1, frames, is_word.sum(1), zero_infinity=True)


@torch.inference_mode()
def resynthesize(codec: Codec, waves: list[torch.Tensor], levels: list[int]) -> dict[int, list[torch.Tensor]]:
    """Resynthesize int16 waves by the codec from the first n codebooks, for each n of ``levels``."""
    out: dict[int, list[torch.Tensor]] = {n: [] for n in levels}
    started = time.time()
    for i, wave in enumerate(waves):
        [codes] = codec.encode([wave.float() / 32768])
        for n, copies in out.items():
            [copy] = codec.decode([codes[:n]])
            copies.append((copy[: len(wave)].clamp(-1, 1) * 32767).to(torch.int16))
        if (i + 1) % 100 == 0:
            left = (time.time() - started) / (i + 1) * (len(waves) - i - 1)
            print(f"resynthesis: {i + 1}/{len(waves)}, {left:.0f} s left", flush=True)
    return out


class Speech:
    """Training windows of ``longest`` samples: drawn from pools of (int16 wave, text), joined and disturbed."""

    def __init__(self, pools: list[list[tuple[torch.Tensor, str]]], weights: list[float], p: dict, longest: int):
        self.pools, self.weights, self.p, self.longest = pools, weights, p, longest
        self.train_only = all(digits.split_of(text) == "train" for pool in pools for _, text in pool)

    def utterance(self, rng: np.random.Generator) -> tuple[torch.Tensor, str]:
        """Return one utterance of one pool, at a random speed and gain."""
        pool = self.pools[rng.choice(len(self.pools), p=self.weights)]
        wave, text = pool[rng.integers(len(pool))]
        wave = wave.float() / 32768
        speed = 1 + rng.uniform(-1, 1) * self.p["speed"]
        wave = F.interpolate(wave[None, None], size=int(len(wave) / speed), mode="linear")[0, 0]
        return wave * 10 ** (rng.uniform(*self.p["gain_db"]) / 20), text

    def window(self, rng: np.random.Generator) -> tuple[torch.Tensor, str]:
        """Return a window ``(longest,)`` and its text."""
        empty = rng.random() < self.p["empty_share"]
        wanted = 0 if empty else 1 + int(rng.choice(len(self.p["joined"]), p=self.p["joined"]))
        parts, words, room = [torch.zeros(int(rng.uniform(0, 0.5) * SAMPLE_RATE))], "", self.longest
        room -= len(parts[0])
        for _ in range(wanted):
            wave, text = self.utterance(rng)
            joined = f"{words} {text}".strip()
            held_out = self.train_only and digits.split_of(joined) != "train"
            if len(wave) > room or (held_out and words):
                break
            pause = torch.zeros(min(int(rng.uniform(0.05, 0.5) * SAMPLE_RATE), room - len(wave)))
            parts += [wave, pause]
            words, room = joined, room - len(wave) - len(pause)
        window = torch.cat([*parts, torch.zeros(room)])
        if rng.random() < self.p["noise_share"] or (empty and rng.random() < 0.7):
            level = 10 ** (rng.uniform(*self.p["noise_db"]) / 20)
            window = window + level * torch.from_numpy(rng.standard_normal(self.longest).astype(np.float32))
        return window, words


def batch_of(
    speech: Speech, model: Whisper, vocabulary: Vocabulary, size: int, rng: np.random.Generator
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return mels ``(size, n_mels, frames)`` and tokens ``(size, longest)`` padded with IGNORE."""
    windows, texts = zip(*(speech.window(rng) for _ in range(size)), strict=True)
    tokens = [torch.tensor(vocabulary.encode(t)[: model.dims.n_text_ctx]) for t in texts]
    padded = torch.nn.utils.rnn.pad_sequence(tokens, batch_first=True, padding_value=IGNORE)
    return torch.stack([asr.log_mel(w, model) for w in windows]), padded


def load_pools(work: Path, p: dict) -> list[list[tuple[torch.Tensor, str]]]:
    """Return (int16 wave, text) of golden speech or of its resynthesis, for each entry of ``p["pools"]``.

    A random part of the speech is resynthesized, because encoding all of it would take longer than training. The result
    is kept in ``<work>/<out>_state`` and made again only for another codec, speech or choice.
    """
    speech = work / "data" / "train.npz"
    data = np.load(speech)
    waves, texts = torch.from_numpy(data["audio"]).split(data["lengths"].tolist()), [str(t) for t in data["texts"]]
    levels = [int(name) for name in p["pools"] if name != "golden"]
    pools = {"golden": list(zip(waves, texts, strict=True))}
    if levels:
        chosen = np.random.default_rng(p["seed"]).permutation(len(waves))[: p["resynthesized"]]
        file = work / f"{p['out']}_state" / "resynthesis.safetensors"
        choice = {"seed": p["seed"], "resynthesized": p["resynthesized"], "levels": sorted(levels)}
        made_from = resuming.identity(choice, {"speech": speech, "codec": work / p["codec"]})
        if not is_resynthesis(file, made_from):
            copies = resynthesize(load_codec(str(work / p["codec"])), [waves[i] for i in chosen], levels)
            with atomic_path(file) as temporary:
                save_file({str(n): torch.cat(c) for n, c in copies.items()}, temporary, {"made_from": made_from})
        for name, audio in load_file(file).items():
            pools[name] = [
                (w, texts[i]) for w, i in zip(audio.split([len(waves[i]) for i in chosen]), chosen, strict=True)
            ]
    return [pools[name] for name in p["pools"]]


def is_resynthesis(file: Path, made_from: str) -> bool:
    """Say whether the file exists and holds this codec's resynthesis of this speech."""
    if not file.is_file():
        return False
    with safe_open(file, "pt") as tensors:
        theirs = (tensors.metadata() or {}).get("made_from")
    return resuming.belongs(file, theirs, made_from, "it is made again")


def inputs_of(work: Path, p: dict) -> dict[str, Path]:
    """Return the files that a training reads."""
    read = {"speech": work / "data" / "train.npz"}
    if p["init"]:
        read["init"] = work / p["init"]
    if set(p["pools"]) - {"golden"}:
        read["codec"] = work / p["codec"]
    return read


@one_message()
def main(
    params_file: Path = Path("bootstrap/params.yaml"),
    work: Path = Path("bootstrap/work"),
    block: str = "recognizer",
) -> None:
    p = yaml12.loads(params_file.read_text())[block]
    torch.set_num_threads(p["threads"])
    torch.manual_seed(p["seed"])
    vocabulary = Vocabulary()
    n_special = len(vocabulary.ids) - len(digits.WORDS)
    if p["init"]:
        model = narrow(asr.load_recognizer(work / p["init"]), vocabulary)
    else:
        model = build(ModelDimensions(n_vocab=len(vocabulary.ids), **p["dims"]))
    head = torch.nn.Linear(model.dims.n_audio_state, len(digits.WORDS) + 1)  # for CTC; not part of the checkpoint
    speech = Speech(load_pools(work, p), list(p["pools"].values()), p, asr.context_samples(model))
    parameters = [*model.parameters(), *head.parameters()]
    optimizer = torch.optim.AdamW(parameters, lr=p["lr"], betas=(0.9, 0.98), weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda s: min((s + 1) / 300, 0.5 * (1 + math.cos(math.pi * min(1.0, s / p["max_steps"]))))
    )
    rng = np.random.default_rng(p["seed"])
    step, state_file = 0, work / f"{p['out']}_state" / "state.pt"
    run = resuming.identity(p, inputs_of(work, p))
    parts: dict[str, resuming.Stateful] = {"model": model, "head": head, "optimizer": optimizer, "schedule": schedule}
    if state := resuming.load_state(state_file, run, parts):
        rng.bit_generator.state = json.loads(state["rng"])
        step = state["step"]

    model.train()
    recent, started = [], time.time()
    while step < p["max_steps"]:
        mels, tokens = batch_of(speech, model, vocabulary, p["batch_size"], rng)
        features = model.encoder(mels)
        reading = text_loss(model, features, tokens, len(vocabulary.start))
        spotting = ctc_loss(head, features, tokens, n_special) if p["ctc_weight"] else torch.zeros(())
        loss = reading + p["ctc_weight"] * spotting
        if not torch.isfinite(loss):
            raise TrainingError(f"recognizer training diverged at step {step}: loss {loss.item()}")
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        schedule.step()
        step += 1
        recent.append((reading.item(), spotting.item()))
        if step % 100 == 0:
            left = (time.time() - started) / 100 * (p["max_steps"] - step)
            text, ctc = np.mean(recent, axis=0)
            print(f"step {step}: text {text:.4f}, CTC {ctc:.4f}, {left / 60:.1f} min left", flush=True)
            recent, started = [], time.time()
        if step % resuming.SAVE_EVERY == 0:
            random = json.dumps(rng.bit_generator.state)  # as text: its integers have 128 bits
            resuming.save_state(state_file, run, parts, step, rng=random)
    asr.save(widen(model, vocabulary), work / p["out"])
    state_file.unlink(missing_ok=True)  # after the recognizer: a kill between them costs no training


if __name__ == "__main__":
    typer.run(main)
