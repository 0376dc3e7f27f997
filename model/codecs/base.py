"""The interface of every codec."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence

import torch
from torch.nn.functional import pad

from model.errors import InputError
from model.fast.parallel import parallel_map


class Codec(ABC):
    """A neural codec: mono speech to ``n_codebooks`` levels of codes, and back.

    A subclass sets the attributes and implements :meth:`load`, :meth:`encode_batch` and :meth:`decode_batch`. Batching
    is done here. All levels have one frame rate; a codec with several would override :meth:`encode` and
    :meth:`decode`, which alone know the layout of codes.
    """

    sample_rate: int  # Hz
    hop_length: int  # samples per frame
    n_codebooks: int
    codebook_size: int  # codes per level
    device: torch.device
    min_samples: int = 1  # shortest waveform that can be encoded

    @property
    def frame_rate(self) -> float:
        """Frames per second."""
        return self.sample_rate / self.hop_length

    @classmethod
    @abstractmethod
    def load(cls, name_or_path: str, device: str | torch.device) -> Codec:
        """Load for inference; see :func:`model.codecs.registry.load_codec`."""

    @abstractmethod
    def encode_batch(self, waves: torch.Tensor) -> torch.Tensor:
        """Return codes ``(batch, n_codebooks, frames)`` of ``waves (batch, frames * hop_length)``, on the device."""

    @abstractmethod
    def decode_batch(self, codes: torch.Tensor) -> torch.Tensor:
        """Return waveforms ``(batch, at least frames * hop_length)`` of ``codes (batch, levels, frames)``."""

    def requantize(self, wave: torch.Tensor, level1: torch.Tensor, n_codebooks: int) -> torch.Tensor:
        """Return codes ``(n_codebooks, frames)`` of ``wave (samples,)`` whose level 1 is ``level1 (frames,)``.

        Levels above quantize what the given level 1 leaves of the sound, which only a residual codec can do.

        Raises:
            InputError: this codec cannot.
        """
        raise InputError(f"{type(self).__name__} cannot quantize the residual of given level-1 codes")

    def encode(self, waves: Sequence[torch.Tensor], batch_seconds: float = 10.0) -> list[torch.Tensor]:
        """Return int64 codes ``(n_codebooks, ceil(samples / hop_length))`` of each waveform, on the CPU, in order.

        Each waveform is extended with silence to whole frames, and only waveforms of equal length share a batch. An
        encoder that looks ahead would otherwise see padding, and an utterance's last codes would depend on the batch.

        Args:
            waves: mono float waveforms ``(samples,)`` at the codec's rate.
            batch_seconds: audio per forward pass.

        Raises:
            InputError: a waveform with several dimensions or fewer than ``min_samples``.
        """
        for index, wave in enumerate(waves):
            if wave.dim() != 1 or wave.numel() < self.min_samples:
                raise InputError(
                    f"waveform {index} has shape {tuple(wave.shape)}; expected (samples,), at least "
                    f"{self.min_samples} of them"
                )

        def encode(frames: int, chosen: list[int]) -> torch.Tensor:
            padded = [pad(waves[i], (0, frames * self.hop_length - waves[i].numel())) for i in chosen]
            return self.encode_batch(torch.stack(padded).to(self.device))

        return self._by_length(encode, [-(-wave.numel() // self.hop_length) for wave in waves], batch_seconds)

    def decode(self, codes: Sequence[torch.Tensor], batch_seconds: float = 10.0) -> list[torch.Tensor]:
        """Return the waveform ``(frames * hop_length,)`` of each ``(levels, frames)``, batched as in :meth:`encode`.

        The lowest levels alone can be decoded too. No frames give no samples.
        """

        def decode(frames: int, chosen: list[int]) -> torch.Tensor:
            decoded = self.decode_batch(torch.stack([codes[i] for i in chosen]).to(self.device))
            return decoded[:, : frames * self.hop_length]

        return self._by_length(decode, [code.shape[-1] for code in codes], batch_seconds)

    def _by_length(
        self, work: Callable[[int, list[int]], torch.Tensor], frames: Sequence[int], batch_seconds: float
    ) -> list[torch.Tensor]:
        """Return the rows of ``work(frames, indices)`` of every batch, on the CPU, in the items' order."""
        found: list[torch.Tensor] = [torch.zeros(0)] * len(frames)

        def one(_worker: int, batch: tuple[int, list[int]]) -> None:
            with torch.inference_mode():
                rows = work(*batch)
            for row, i in enumerate(batch[1]):
                found[i] = rows[row].cpu()

        parallel_map(one, self._batches(frames, batch_seconds), self.device.type)
        return found

    def _batches(self, frames: Sequence[int], batch_seconds: float) -> list[tuple[int, list[int]]]:
        """Return (frames, indices) of each forward pass: items of one length, at most ``batch_seconds`` or one item."""
        groups: dict[int, list[int]] = {}
        for index, n in enumerate(frames):
            if n:
                groups.setdefault(n, []).append(index)
        return [
            (n, members[start : start + step])
            for n, members in groups.items()
            for step in [max(1, int(batch_seconds * self.sample_rate / (n * self.hop_length)))]
            for start in range(0, len(members), step)
        ]
