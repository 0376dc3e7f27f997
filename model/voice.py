"""The whole chain from text and a voice prompt to speech: policy, NAR (where it writes too few levels) and codec.

A policy with a reward model (``reward/`` in its folder) samples several times and keeps the best (Best-of-N).
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

from model import nar as nar_lib
from model import policy as policy_lib
from model import reward as reward_lib
from model.audio import LEAST_PROMPT, MAX_RATE, MIN_RATE, SHORT_PROMPT, clipping, resample, sounding_seconds
from model.best_of_n import best, draws_of, reporting_utterances
from model.codecs.base import Codec
from model.codecs.registry import load_codec
from model.errors import CheckpointError, InputError
from model.fast.onednn import use_onednn
from model.layouts.sampled import salvaged
from model.layouts.speech import Speech, VoicePrompt
from model.policy import Policy
from model.sampling import Decoding, Sampled, sample

if TYPE_CHECKING:
    pass

LOOK_AHEAD = 1.0  # seconds: more than any codec here looks ahead
LONGEST_PROMPT = 30.0  # seconds, where prompts are whole recordings


@dataclass(frozen=True)
class Utterance:
    """One synthesized text."""

    sampled: Sampled
    codes: torch.Tensor  # (rows, frames): a row per level, or several where levels have different rates
    wave: np.ndarray  # float32 (samples,) at the codec's rate; empty if nothing was sampled


@dataclass(frozen=True)
class Voice:
    """A policy that synthesizes speech, on one device.

    ``nar`` adds the levels that the policy does not write; it is None where the policy writes all.
    """

    policy: Policy
    nar: nar_lib.Nar | None
    codec: Codec
    prompt_frames: int | None = 50  # None: the whole recording
    reward: reward_lib.RewardModel | None = None

    @classmethod
    def load(
        cls,
        policy: str | Path,
        nar: str | Path,
        codec: str,
        device: str | torch.device = "cpu",
        prompt_frames: int | None = 50,
    ) -> Voice:
        """Load the parts and check that they fit together.

        Args:
            nar: not read where the policy writes all levels.

        Raises:
            CheckpointError: a missing part, parts with other codebooks, or one of the reward model and
                the number of samples to choose from without the other.
        """
        reward_folder = Path(policy) / reward_lib.FOLDER
        reward = reward_lib.load(reward_folder, device) if reward_folder.is_dir() else None
        loaded, coder = policy_lib.load(policy, device), load_codec(codec, device)
        whole = loaded.layout.code_tokens.n_levels == coder.n_codebooks
        voice = cls(loaded, None if whole else use_onednn(nar_lib.load(nar, device)), coder, prompt_frames, reward)
        n = policy_lib.best_of_n(loaded.model)
        if (n > 1) != (reward is not None):
            found = "no reward model" if reward is None else "a reward model"
            raise CheckpointError(
                f"{policy}: best_of_n is {n} in config.json, and {found} lies in {reward_folder}; expected both or "
                "neither: align again with align.method best_of_n"
            )
        if reward and reward.body.config.vocab_size != loaded.model.config.vocab_size:
            raise CheckpointError(
                f"the reward model {reward_folder} reads {reward.body.config.vocab_size} tokens, the policy {policy} "
                f"has {loaded.model.config.vocab_size}; these parts were not trained together"
            )
        sizes = {f"policy {policy}": loaded.layout.code_tokens.size, f"codec {codec}": coder.codebook_size}
        if voice.nar:
            sizes[f"NAR {nar}"] = voice.nar.config.codebook_size
        if len(set(sizes.values())) > 1:
            raise CheckpointError(f"codebook sizes differ: {sizes}; these parts were not trained together")
        if voice.nar and voice.nar.config.n_codebooks > coder.n_codebooks:
            raise CheckpointError(
                f"the NAR writes {voice.nar.config.n_codebooks} codebooks, but codec {codec} has {coder.n_codebooks}"
            )
        return voice

    @property
    def sample_rate(self) -> int:
        """Rate of the waveforms in Hz."""
        return self.codec.sample_rate

    @property
    def device(self) -> torch.device:
        return self.policy.device

    @property
    def prompt_seconds(self) -> float:
        """Seconds of a prompt that matter: its frames, and what the codec looks ahead at their end."""
        if self.prompt_frames is None:
            return LONGEST_PROMPT
        return self.prompt_frames * self.codec.hop_length / self.sample_rate + LOOK_AHEAD

    def encode_prompt(self, wave: np.ndarray, sample_rate: int, text: str = "", speaker: str = "") -> VoicePrompt:
        """Return a voice prompt of up to ``prompt_frames`` frames from mono float samples at any rate.

        Args:
            text: what is said in it, and who says it (``speaker``), for layouts that write these.

        One that is clipped or short is warned of.

        Raises:
            InputError: no samples, several channels, values that are not finite, hardly any sound, an impossible rate.
        """
        audio = np.asarray(wave, dtype=np.float32)
        if audio.ndim != 1 or not audio.size:
            raise InputError(f"a voice prompt must be mono samples (samples,); found shape {audio.shape}")
        if bad := int((~np.isfinite(audio)).sum()):
            raise InputError(
                f"{bad} of {audio.size} samples of the voice prompt are not finite; record or convert it again"
            )
        if not MIN_RATE <= sample_rate <= MAX_RATE:
            raise InputError(f"a voice prompt must have {MIN_RATE} to {MAX_RATE} Hz; found {sample_rate} Hz")
        audio = audio[: math.ceil(self.prompt_seconds * sample_rate)]
        if (sound := sounding_seconds(audio, sample_rate)) < LEAST_PROMPT:
            raise InputError(
                f"the first {len(audio) / sample_rate:.2f} s of the voice prompt are silent but for {sound:.2f} s, "
                f"expected {LEAST_PROMPT} s of sound at least; cut off the silence, or take a longer one"
            )
        if sound < SHORT_PROMPT:
            warnings.warn(
                f"the voice prompt has only {sound:.1f} s of sound, so the voice will be less like it; take a second",
                stacklevel=2,
            )
        if said := clipping(audio):
            warnings.warn(f"the voice prompt {said}", stacklevel=2)
        audio = resample(audio, from_rate=sample_rate, to_rate=self.sample_rate)
        [codes] = self.codec.encode([torch.from_numpy(audio)])
        codes = codes[: self.nar.config.n_codebooks if self.nar else None, : self.prompt_frames]
        voice = self.codec.voice_of(torch.from_numpy(audio))
        return VoicePrompt(speaker, text, Speech.of(*codes, globals=voice))

    def synthesize(
        self,
        texts: Sequence[str],
        prompts: Sequence[VoicePrompt],
        seeds: Sequence[int],
        decoding: Decoding | None = None,
        batch_size: int = 64,
        on_done: Callable[[int], None] | None = None,
    ) -> list[Utterance]:
        """Synthesize each text in the voice of its prompt; a seed determines its utterance.

        Raises:
            RewardError: a reward that is not finite, with the text.
        """
        sampled = self.sample(texts, prompts, seeds, decoding or Decoding(), batch_size, on_done)
        codes, waves = self.render([s.tokens for s in sampled], prompts, batch_size)
        return [Utterance(s, c, w) for s, c, w in zip(sampled, codes, waves, strict=True)]

    def sample(
        self,
        texts: Sequence[str],
        prompts: Sequence[VoicePrompt],
        seeds: Sequence[int],
        decoding: Decoding,
        batch_size: int = 64,
        on_done: Callable[[int], None] | None = None,
        dtype: torch.dtype | None = None,
    ) -> list[Sampled]:
        """Return the tokens of each utterance, as :meth:`synthesize` takes them: the only sample, or the best of N.

        Args:
            dtype: of the policy's weights while it samples, as :func:`model.sampling.sample` takes it.
        """
        requests = [
            self.policy.request(t, p, decoding=decoding, seed=s) for t, p, s in zip(texts, prompts, seeds, strict=True)
        ]
        model, drawable = self.policy.model, self.policy.drawable
        if self.reward is None:
            return sample(model, requests, decoding, drawable, batch_size, on_done, dtype)
        n = policy_lib.best_of_n(model)
        draws = [draw for request in requests for draw in draws_of(request, n)]
        sampled = sample(model, draws, decoding, drawable, batch_size, reporting_utterances(n, on_done), dtype)
        sequences = [(draw.context, s.target) for draw, s in zip(draws, sampled, strict=True)]
        rewards = reward_lib.score(self.reward, sequences, [text for text in texts for _ in range(n)], batch_size)
        groups = [slice(first, first + n) for first in range(0, len(draws), n)]
        return [sampled[group][best(sampled[group], rewards[group])] for group in groups]

    def render(
        self, tokens: Sequence[Sequence[int] | np.ndarray], prompts: Sequence[VoicePrompt], batch_size: int = 64
    ) -> tuple[list[torch.Tensor], list[np.ndarray]]:
        """Return codes ``(rows, frames)`` and waveforms of sampled tokens, by the NAR and the codec's decoder."""
        spoken = [salvaged(self.policy.layout, one).levels for one in tokens]
        if self.nar is None:
            codes = [self.codec.rows([torch.from_numpy(level) for level in levels]) for levels in spoken]
        else:
            level1 = [torch.from_numpy(levels[0]) for levels in spoken]
            codes = nar_lib.complete(self.nar, level1, [torch.from_numpy(p.speech.rows) for p in prompts], batch_size)
        voices = [prompt.speech.globals for prompt in prompts]
        return codes, [w.numpy() for w in self.codec.decode(codes, voices=voices)]
