"""Codecs whose decoder takes a voice in addition to codes: BiCodec's globals, or what a flow decoder is conditioned on.

Their codes say what is said and how. What a moment does not tell, the voice, is a vector of the whole recording.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence

import torch
from torch.nn.functional import pad

from model.codecs.base import Codec
from model.errors import InputError
from model.fast.parallel import parallel_map


class VoicedCodec(Codec):
    """A codec that decodes codes in a voice.

    A subclass implements :meth:`load`, :meth:`encode_batch`, :meth:`encode_voice` and :meth:`decode_voice`. A voice is
    ``(numbers,)``: codes of the voice, which a layout may write as ``{globals}``, an embedding, or several things in
    a row. Its length and meaning are the codec's own.
    """

    takes_voice = True

    @abstractmethod
    def encode_voice(self, wave: torch.Tensor) -> Sequence[float]:
        """Return the voice in ``wave (samples,)``, mono at ``sample_rate``; the numbers are kept in float32."""

    @abstractmethod
    def decode_voice(self, codes: torch.Tensor, voice: torch.Tensor) -> torch.Tensor:
        """Return the waveform ``(at least frames * hop_length,)`` of ``codes (rows, frames)`` in a voice ``(n,)``."""

    def decode_batch(self, codes: torch.Tensor, frames: Sequence[int]) -> torch.Tensor:
        raise InputError(f"{type(self).__name__} decodes codes in a voice, and there is none")

    def voice_of(self, wave: torch.Tensor) -> tuple[float, ...]:
        with torch.inference_mode():
            numbers = torch.as_tensor(self.encode_voice(wave.to(self.device)), dtype=torch.float32).reshape(-1)
        if not numbers.numel() or not torch.isfinite(numbers).all():
            raise InputError(f"{type(self).__name__} should give a voice of finite numbers, found {numbers.numel()}")
        return tuple(numbers.tolist())

    def decode(
        self, codes: Sequence[torch.Tensor], batch_seconds: float = 10.0, voices: Sequence[Sequence[float]] = ()
    ) -> list[torch.Tensor]:
        """Return the waveform ``(frames * hop_length,)`` of each ``(rows, frames)`` in its voice.

        Raises:
            InputError: an item without a voice.
        """
        if len(voices) != len(codes) or not all(len(voice) for voice in voices):
            raise InputError(
                f"{type(self).__name__} decodes in the voice of a recording, found "
                f"{sum(bool(len(voice)) for voice in voices)} for {len(codes)} samples; set policy.voice to audio"
            )

        def one(_worker: int, item: tuple[torch.Tensor, Sequence[float]]) -> torch.Tensor:
            rows, n = item[0].to(self.device), item[0].shape[-1] * self.hop_length
            if not n:
                return torch.zeros(0)
            with torch.inference_mode():  # a property of the thread
                wave = self.decode_voice(rows, torch.tensor(item[1], dtype=torch.float32, device=self.device))
            return pad(wave, (0, max(0, n - wave.shape[-1])))[:n].cpu()

        return parallel_map(one, list(zip(codes, voices, strict=True)), self.device.type)
