"""The whole chain from text and a voice prompt to speech: AR, NAR and codec.

A policy with a reward model (``reward/`` in its folder) samples several times and keeps the best (Best-of-N).
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from transformers import LlamaForCausalLM

from model import nar as nar_lib
from model import policy
from model import reward as reward_lib
from model.audio import MAX_RATE, MIN_RATE, SILENT_PEAK, clipping, peak, resample
from model.best_of_n import best, draws_of, reporting_utterances
from model.codecs.base import Codec
from model.codecs.registry import load_codec
from model.errors import CheckpointError, InputError
from model.fast.onednn import use_onednn
from model.sampling import Decoding, Request, Sampled, sample

LOOK_AHEAD = 1.0  # seconds: more than any codec here looks ahead


@dataclass(frozen=True)
class Utterance:
    """One synthesized text."""

    sampled: Sampled
    codes: torch.Tensor  # (n_codebooks, frames)
    wave: np.ndarray  # float32 (samples,) at the codec's rate; empty if nothing was sampled


@dataclass(frozen=True)
class Voice:
    """A policy that synthesizes speech: its AR, the NAR and the codec, on one device."""

    ar: LlamaForCausalLM
    nar: nar_lib.Nar
    codec: Codec
    prompt_frames: int = 50
    reward: reward_lib.RewardModel | None = None

    @classmethod
    def load(
        cls,
        ar: str | Path,
        nar: str | Path,
        codec: str,
        device: str | torch.device = "cpu",
        prompt_frames: int = 50,
    ) -> Voice:
        """Load the three parts and check that they fit together.

        Raises:
            CheckpointError: a missing part, parts with other codebooks, or one of the reward model and
                the number of samples to choose from without the other.
        """
        reward_folder = Path(ar) / reward_lib.FOLDER
        reward = reward_lib.load(reward_folder, device) if reward_folder.is_dir() else None
        voice = cls(
            policy.load(ar, device),
            use_onednn(nar_lib.load(nar, device)),
            load_codec(codec, device),
            prompt_frames,
            reward,
        )
        n = policy.best_of_n(voice.ar)
        if (n > 1) != (reward is not None):
            found = "no reward model" if reward is None else "a reward model"
            raise CheckpointError(
                f"{ar}: best_of_n is {n} in config.json, and {found} lies in {reward_folder}; expected both or "
                "neither: align again with align.method best_of_n"
            )
        sizes = {
            f"AR {ar}": policy.vocabulary_of(voice.ar).codebook_size,
            f"NAR {nar}": voice.nar.config.codebook_size,
            f"codec {codec}": voice.codec.codebook_size,
        }
        if reward:
            sizes[f"reward model {reward_folder}"] = policy.vocabulary_of(reward.body).codebook_size
        if len(set(sizes.values())) > 1:
            raise CheckpointError(f"codebook sizes differ: {sizes}; these parts were not trained together")
        if voice.nar.config.n_codebooks > voice.codec.n_codebooks:
            raise CheckpointError(
                f"the NAR writes {voice.nar.config.n_codebooks} codebooks, but codec {codec} has "
                f"{voice.codec.n_codebooks}"
            )
        return voice

    @property
    def sample_rate(self) -> int:
        """Rate of the waveforms in Hz."""
        return self.codec.sample_rate

    @property
    def prompt_seconds(self) -> float:
        """Seconds of a prompt that matter: its frames, and what the codec looks ahead at their end."""
        return self.prompt_frames * self.codec.hop_length / self.sample_rate + LOOK_AHEAD

    def encode_prompt(self, wave: np.ndarray, sample_rate: int) -> torch.Tensor:
        """Return codes ``(n_codebooks, prompt_frames)`` of a voice prompt: mono float samples at any rate.

        A clipped one is warned of.

        Raises:
            InputError: no samples, several channels, values that are not finite, silence, or an impossible rate.
        """
        audio = np.asarray(wave, dtype=np.float32)
        if audio.ndim != 1 or not audio.size or not np.isfinite(audio).all():
            raise InputError(f"a voice prompt must be finite mono samples (samples,); found shape {audio.shape}")
        if not MIN_RATE <= sample_rate <= MAX_RATE:
            raise InputError(f"a voice prompt must have {MIN_RATE} to {MAX_RATE} Hz; found {sample_rate} Hz")
        audio = audio[: math.ceil(self.prompt_seconds * sample_rate)]
        if (found := peak(audio)) < SILENT_PEAK:
            raise InputError(
                f"the first {len(audio) / sample_rate:.1f} s of the voice prompt are silent (a peak of {found:.2g}, "
                f"expected {SILENT_PEAK} at least), so there is no voice in it; cut off the silence or take another"
            )
        if said := clipping(audio):
            warnings.warn(f"the voice prompt {said}", stacklevel=2)
        audio = resample(audio, from_rate=sample_rate, to_rate=self.sample_rate)
        [codes] = self.codec.encode([torch.from_numpy(audio)])
        return codes[: self.nar.config.n_codebooks, : self.prompt_frames]

    def request(self, text: str, prompt: torch.Tensor, decoding: Decoding, seed: int) -> Request:
        """Return the AR's part of one utterance; ``prompt (levels, frames)``."""
        context = policy.vocabulary_of(self.ar).context(text, prompt[0].tolist())
        return Request(tuple(context), decoding.max_frames(text), seed)

    def synthesize(
        self,
        texts: Sequence[str],
        prompts: Sequence[torch.Tensor],
        seeds: Sequence[int],
        decoding: Decoding | None = None,
        batch_size: int = 64,
        on_done: Callable[[int], None] | None = None,
    ) -> list[Utterance]:
        """Synthesize each text in the voice of its prompt ``(n_codebooks, frames)``; a seed determines its utterance.

        Raises:
            RewardError: a reward that is not finite, with the text.
        """
        sampled = self.sample(texts, prompts, seeds, decoding or Decoding(), batch_size, on_done)
        codes, waves = self.render([self.codes(s) for s in sampled], prompts, batch_size)
        return [Utterance(s, c, w) for s, c, w in zip(sampled, codes, waves, strict=True)]

    def sample(
        self,
        texts: Sequence[str],
        prompts: Sequence[torch.Tensor],
        seeds: Sequence[int],
        decoding: Decoding,
        batch_size: int = 64,
        on_done: Callable[[int], None] | None = None,
    ) -> list[Sampled]:
        """Return the sample of each utterance: the only one, or the best of N."""
        requests = [self.request(t, p, decoding, s) for t, p, s in zip(texts, prompts, seeds, strict=True)]
        drawable = policy.vocabulary_of(self.ar).drawable
        if self.reward is None:
            return sample(self.ar, requests, decoding, drawable, batch_size, on_done)
        n = policy.best_of_n(self.ar)
        draws = [draw for request in requests for draw in draws_of(request, n)]
        sampled = sample(self.ar, draws, decoding, drawable, batch_size, reporting_utterances(n, on_done))
        sequences = [(draw.context, s.target) for draw, s in zip(draws, sampled, strict=True)]
        rewards = reward_lib.score(self.reward, sequences, [text for text in texts for _ in range(n)], batch_size)
        groups = [slice(first, first + n) for first in range(0, len(draws), n)]
        return [sampled[group][best(sampled[group], rewards[group])] for group in groups]

    def codes(self, sampled: Sampled) -> torch.Tensor:
        """Return the level-1 codes ``(frames,)`` of a sample."""
        return torch.from_numpy(policy.vocabulary_of(self.ar).read(sampled.tokens))

    def render(
        self, level1: Sequence[torch.Tensor], prompts: Sequence[torch.Tensor], batch_size: int = 64
    ) -> tuple[list[torch.Tensor], list[np.ndarray]]:
        """Return codes and waveforms of level-1 codes ``(frames,)``, by the NAR and the codec's decoder."""
        codes = nar_lib.complete(self.nar, level1, prompts, batch_size)
        return codes, [w.numpy() for w in self.codec.decode(codes)]
