"""The interface of every codec."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence

import torch
from torch.nn.functional import pad

from model.errors import InputError
from model.fast.parallel import parallel_map

SHARED_LENGTH = 16  # frames: lengths are padded to a multiple of it, where they can be mixed
SHORTEST_MIXED = 16  # frames: shorter items share a batch with their own length only


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
    mixes_lengths: bool = False  # whether a batch may hold several lengths, padded, without a change of any result

    @property
    def frame_rate(self) -> float:
        """Frames per second."""
        return self.sample_rate / self.hop_length

    @classmethod
    @abstractmethod
    def load(cls, name_or_path: str, device: str | torch.device) -> Codec:
        """Load for inference; see :func:`model.codecs.registry.load_codec`."""

    @abstractmethod
    def encode_batch(self, waves: torch.Tensor, frames: Sequence[int]) -> torch.Tensor:
        """Return codes ``(batch, n_codebooks, longest)`` of ``waves (batch, longest * hop_length)``, on the device.

        Args:
            frames: of each row; they differ only with ``mixes_lengths``.
        """

    @abstractmethod
    def decode_batch(self, codes: torch.Tensor, frames: Sequence[int]) -> torch.Tensor:
        """Return waveforms ``(batch, at least longest * hop_length)`` of ``codes (batch, levels, longest)``.

        Args:
            frames: as for :meth:`encode_batch`.
        """

    def requantize(self, wave: torch.Tensor, level1: torch.Tensor, n_codebooks: int) -> torch.Tensor:
        """Return codes ``(n_codebooks, frames)`` of ``wave (samples,)`` whose level 1 is ``level1 (frames,)``.

        Levels above quantize what the given level 1 leaves of the sound, which only a residual codec can do.

        Raises:
            InputError: this codec cannot.
        """
        raise InputError(f"{type(self).__name__} cannot quantize the residual of given level-1 codes")

    def encode(self, waves: Sequence[torch.Tensor], batch_seconds: float = 10.0) -> list[torch.Tensor]:
        """Return int64 codes ``(n_codebooks, ceil(samples / hop_length))`` of each waveform, on the CPU, in order.

        Each waveform is extended with silence to whole frames. Only waveforms of equal length share a batch, unless the
        codec can mix them: an encoder that looks ahead would otherwise see padding, and an utterance's last codes would
        depend on the batch.

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

        frames = [-(-wave.numel() // self.hop_length) for wave in waves]

        def encode(longest: int, chosen: list[int]) -> list[torch.Tensor]:
            padded = [pad(waves[i], (0, longest * self.hop_length - waves[i].numel())) for i in chosen]
            own = [frames[i] for i in chosen]
            codes = self.encode_batch(torch.stack(padded).to(self.device), own)
            return [row[:, :n] for row, n in zip(codes, own, strict=True)]

        return self._by_length(encode, frames, batch_seconds)

    def decode(self, codes: Sequence[torch.Tensor], batch_seconds: float = 10.0) -> list[torch.Tensor]:
        """Return the waveform ``(frames * hop_length,)`` of each ``(levels, frames)``, batched as in :meth:`encode`.

        The lowest levels alone can be decoded too. No frames give no samples.
        """

        frames = [code.shape[-1] for code in codes]

        def decode(longest: int, chosen: list[int]) -> list[torch.Tensor]:
            padded, own = [pad(codes[i], (0, longest - frames[i])) for i in chosen], [frames[i] for i in chosen]
            decoded = self.decode_batch(torch.stack(padded).to(self.device), own)
            return [row[: n * self.hop_length] for row, n in zip(decoded, own, strict=True)]

        return self._by_length(decode, frames, batch_seconds)

    def _by_length(
        self, work: Callable[[int, list[int]], list[torch.Tensor]], frames: Sequence[int], batch_seconds: float
    ) -> list[torch.Tensor]:
        """Return the rows of ``work(longest, indices)`` of every batch, on the CPU, in the items' order."""
        found: list[torch.Tensor] = [torch.zeros(0)] * len(frames)

        def one(_worker: int, batch: tuple[int, list[int]]) -> None:
            with torch.inference_mode():
                rows = work(*batch)
            for row, i in zip(rows, batch[1], strict=True):
                found[i] = row.cpu()

        parallel_map(one, self._batches(frames, batch_seconds), self.device.type)
        return found

    def _batches(self, frames: Sequence[int], batch_seconds: float) -> list[tuple[int, list[int]]]:
        """Return (longest, indices) of each forward pass: at most ``batch_seconds`` or one item.

        The items have one length, or are padded to one where the codec can mix lengths.
        """
        groups: dict[int, list[int]] = {}
        for index, n in enumerate(frames):
            if n:
                shared = self.mixes_lengths and n >= SHORTEST_MIXED
                groups.setdefault(-(-n // SHARED_LENGTH) * SHARED_LENGTH if shared else n, []).append(index)
        return [
            (n, members[start : start + step])
            for n, members in groups.items()
            for step in [max(1, int(batch_seconds * self.sample_rate / (n * self.hop_length)))]
            for start in range(0, len(members), step)
        ]
