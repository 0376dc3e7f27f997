"""The whole chain, text and a voice prompt in, speech out: AR → NAR → codec."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torchaudio
from encodec import EncodecModel
from transformers import LlamaForCausalLM

from model import codec as codec_lib
from model import nar as nar_lib
from model import policy
from model.sampling import Decoding, Request, Sampled, sample


@dataclass(frozen=True)
class Utterance:
    """What the chain made of one text."""

    sampled: Sampled
    codes: torch.Tensor  # (n_codebooks, frames)
    wave: np.ndarray  # float32 (samples,) at the codec's rate; empty if nothing was sampled


@dataclass(frozen=True)
class Voice:
    """A policy that can speak: its AR, the NAR and the codec, on one device."""

    ar: LlamaForCausalLM
    nar: nar_lib.Nar
    codec: EncodecModel
    prompt_frames: int = 50

    @classmethod
    def load(
        cls,
        ar: str | Path,
        nar: str | Path,
        codec: str,
        device: str | torch.device = "cpu",
        prompt_frames: int = 50,
    ) -> Voice:
        """Load the three parts and check that they fit one another.

        Raises:
            FileNotFoundError, ValueError: a missing part, or parts with other codebooks.
        """
        voice = cls(policy.load(ar, device), nar_lib.load(nar, device), codec_lib.load(codec, device), prompt_frames)
        sizes = {
            f"AR {ar}": policy.vocabulary_of(voice.ar).codebook_size,
            f"NAR {nar}": voice.nar.config.codebook_size,
            f"codec {codec}": voice.codec.quantizer.bins,
        }
        if len(set(sizes.values())) > 1:
            raise ValueError(f"codebook sizes differ: {sizes}; these parts were not trained together")
        if voice.nar.config.n_codebooks > codec_lib.n_codebooks(voice.codec):
            raise ValueError(
                f"the NAR writes {voice.nar.config.n_codebooks} codebooks, but codec {codec} has "
                f"{codec_lib.n_codebooks(voice.codec)}"
            )
        return voice

    @property
    def sample_rate(self) -> int:
        return self.codec.sample_rate

    def encode_prompt(self, wave: np.ndarray, sample_rate: int) -> torch.Tensor:
        """Codes ``(n_codebooks, frames)`` of a voice prompt: mono float samples at any rate, cut to prompt_frames."""
        audio = torch.as_tensor(np.asarray(wave), dtype=torch.float32)
        if audio.dim() != 1 or not torch.isfinite(audio).all():
            raise ValueError(f"a voice prompt must be finite mono samples (samples,); found shape {tuple(audio.shape)}")
        if sample_rate != self.sample_rate:
            audio = torchaudio.functional.resample(audio, sample_rate, self.sample_rate)
        [codes] = codec_lib.encode(self.codec, [audio])
        return codes[: self.nar.config.n_codebooks, : self.prompt_frames]

    def request(self, text: str, prompt: torch.Tensor, decoding: Decoding, seed: int) -> Request:
        """The AR's side of one utterance; ``prompt (levels, frames)``."""
        context = policy.vocabulary_of(self.ar).context(text, prompt[0].tolist())
        return Request(tuple(context), decoding.max_frames(text), seed)

    def speak(
        self,
        texts: Sequence[str],
        prompts: Sequence[torch.Tensor],
        seeds: Sequence[int],
        decoding: Decoding | None = None,
        batch_size: int = 64,
        on_done: Callable[[int], None] | None = None,
    ) -> list[Utterance]:
        """Speak each text in the voice of its prompt ``(n_codebooks, frames)``; deterministic for its seed."""
        decoding = decoding or Decoding()
        requests = [self.request(t, p, decoding, s) for t, p, s in zip(texts, prompts, seeds, strict=True)]
        sampled = sample(self.ar, requests, decoding, batch_size, on_done)
        codes, waves = self.render([torch.from_numpy(s.tokens) for s in sampled], prompts, batch_size)
        return [Utterance(s, c, w) for s, c, w in zip(sampled, codes, waves, strict=True)]

    def render(
        self, level1: Sequence[torch.Tensor], prompts: Sequence[torch.Tensor], batch_size: int = 64
    ) -> tuple[list[torch.Tensor], list[np.ndarray]]:
        """Codes and waveforms of level-1 tokens ``(frames,)``, through the NAR and the codec's decoder."""
        codes = nar_lib.complete(self.nar, level1, prompts, batch_size)
        return codes, [w.numpy() for w in codec_lib.decode(self.codec, codes)]
