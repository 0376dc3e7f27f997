"""The interface of every codec."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence

import torch
from torch.nn.functional import pad

from model.audio import resample
from model.errors import InputError
from model.fast.parallel import parallel_map

SHARED_LENGTH = 16  # frames: lengths are padded to a multiple of it, where they can be mixed
SHORTEST_MIXED = 16  # frames: shorter items share a batch with their own length only
LEAST_FULL = 0.75  # of a batch's length: what is shorter waits for the next batch, so little is computed for padding


class Codec(ABC):
    """A neural codec: mono speech to ``n_codebooks`` levels of codes, and back.

    A subclass sets the attributes and implements :meth:`load`, :meth:`encode_batch` and :meth:`decode_batch`. Batching
    is done here. Where levels have different rates, a frame has several codes of a level: codes are then rows, and
    :meth:`levels` takes them apart.
    """

    sample_rate: int  # Hz
    hop_length: int  # samples per frame
    n_codebooks: int
    codebook_size: int  # codes per level
    device: torch.device
    min_samples: int = 1  # shortest waveform that can be encoded
    codes_per_frame: tuple[int, ...] = ()  # of each level, e.g. (1, 2, 4); () means one of each
    mixes_lengths: bool = False  # whether a batch may hold several lengths, padded, without a change of any result
    takes_voice: bool = False  # whether decoding takes a voice in addition to codes (model.codecs.voiced)

    @property
    def frame_rate(self) -> float:
        """Frames per second."""
        return self.sample_rate / self.hop_length

    @property
    def encode_rate(self) -> int:
        """Rate (Hz) of what the encoder reads; the decoder's is ``sample_rate``."""
        return self.sample_rate

    @property
    def encode_hop(self) -> int:
        """Samples per frame at the encoder's rate."""
        return self.hop_length

    def levels(self, codes: torch.Tensor) -> list[torch.Tensor]:
        """Return the codes ``(…, frames * codes per frame)`` of each level, in time, of ``codes (…, rows, frames)``."""
        split = codes.split(self.codes_per_frame or [1] * codes.shape[-2], dim=-2)
        return [rows.transpose(-1, -2).reshape(*rows.shape[:-2], -1) for rows in split]

    def rows(self, levels: Sequence[torch.Tensor]) -> torch.Tensor:
        """Return ``codes (…, rows, frames)`` of each level's codes: the inverse of :meth:`levels`.

        Raises:
            InputError: lengths of levels that do not make whole frames.
        """
        per_frame = self.codes_per_frame or (1,) * len(levels)
        frames = levels[0].shape[-1] // per_frame[0]
        if len(levels) != len(per_frame) or [x.shape[-1] for x in levels] != [frames * n for n in per_frame]:
            raise InputError(f"levels of {[x.shape[-1] for x in levels]} codes; expected multiples of {per_frame}")
        parts = [x.reshape(*x.shape[:-1], frames, n) for x, n in zip(levels, per_frame, strict=True)]
        return torch.cat(parts, dim=-1).transpose(-1, -2)

    @classmethod
    @abstractmethod
    def load(cls, name_or_path: str, device: str | torch.device) -> Codec:
        """Load for inference; see :func:`model.codecs.registry.load_codec`."""

    @abstractmethod
    def encode_batch(self, waves: torch.Tensor, frames: Sequence[int]) -> torch.Tensor:
        """Return codes ``(batch, rows, longest)`` of ``waves (batch, longest * encode_hop)``, on the device.

        Args:
            frames: of each row; they differ only with ``mixes_lengths``.
        """

    @abstractmethod
    def decode_batch(self, codes: torch.Tensor, frames: Sequence[int]) -> torch.Tensor:
        """Return waveforms ``(batch, at least longest * hop_length)`` of ``codes (batch, rows, longest)``.

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

    def encode(
        self, waves: Sequence[torch.Tensor], batch_seconds: float = 10.0, *, rate: int | None = None
    ) -> list[torch.Tensor]:
        """Return int64 codes ``(rows, ceil(samples / hop))`` of each waveform, on the CPU, in order.

        There is one row per level, or ``codes_per_frame`` of them. Each waveform is extended with silence to whole
        frames. Only waveforms of equal length share a batch, unless the codec can mix them: an encoder that looks ahead
        would otherwise see padding, and an utterance's last codes would depend on the batch.

        Args:
            waves: mono float waveforms ``(samples,)``.
            batch_seconds: audio per forward pass.
            rate: of the waveforms in Hz, by default ``sample_rate``. The encoder's own rate saves a resampling.

        Raises:
            InputError: a waveform with several dimensions or, at the encoder's rate, fewer than ``min_samples``.
        """
        rate = rate or self.sample_rate
        if rate != self.encode_rate:
            waves = [
                torch.from_numpy(resample(wave.numpy(), from_rate=rate, to_rate=self.encode_rate))
                if wave.dim() == 1
                else wave
                for wave in waves
            ]
        for index, wave in enumerate(waves):
            if wave.dim() != 1 or wave.numel() < self.min_samples:
                raise InputError(
                    f"waveform {index} has shape {tuple(wave.shape)}; expected (samples,), at least "
                    f"{self.min_samples} of them"
                )
        return self.encode_waves(waves, batch_seconds)

    def encode_waves(self, waves: Sequence[torch.Tensor], batch_seconds: float) -> list[torch.Tensor]:
        """Return the codes of checked waveforms at the encoder's rate; a codec that cannot batch overrides this."""
        frames = [-(-wave.numel() // self.encode_hop) for wave in waves]

        def encode(longest: int, chosen: list[int]) -> list[torch.Tensor]:
            padded = [pad(waves[i], (0, longest * self.encode_hop - waves[i].numel())) for i in chosen]
            own = [frames[i] for i in chosen]
            codes = self.encode_batch(torch.stack(padded).to(self.device), own)
            return [row[:, :n] for row, n in zip(codes, own, strict=True)]

        return self._by_length(encode, frames, batch_seconds)

    def voice_of(self, wave: torch.Tensor) -> tuple[float, ...]:
        """Return what decoding takes of the voice in ``wave (samples,)`` at ``sample_rate``; by default nothing."""
        return ()

    def decode(
        self, codes: Sequence[torch.Tensor], batch_seconds: float = 10.0, voices: Sequence[Sequence[float]] = ()
    ) -> list[torch.Tensor]:
        """Return the waveform ``(frames * hop_length,)`` of each ``(rows, frames)``, batched as in :meth:`encode`.

        The lowest levels alone can be decoded too. No frames give no samples.

        Args:
            voices: of :meth:`voice_of`, one per item, which only a codec that takes voices reads.
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

        The items have one length, or are padded to one where the codec can mix lengths. The longest come first.
        """
        most = int(batch_seconds * self.sample_rate / self.hop_length)  # frames
        batches: list[tuple[int, list[int]]] = []
        for index in sorted((i for i, n in enumerate(frames) if n), key=lambda i: -frames[i]):
            n = frames[index]
            shared = self.mixes_lengths and n >= SHORTEST_MIXED
            longest, members = batches[-1] if batches else (0, [])
            fits = n >= LEAST_FULL * longest if shared else n == longest
            if members and fits and (len(members) + 1) * longest <= most:
                members.append(index)
            else:
                batches.append((-(-n // SHARED_LENGTH) * SHARED_LENGTH if shared else n, [index]))
        return batches
