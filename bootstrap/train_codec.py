"""Train a small EnCodec: ``python -m bootstrap.train_codec``.

The losses are reconstruction (log-mel at several scales, waveform) and commitment. The paper adds a discriminator at
14 M parameters. At 0.4 M, recognizer and speaker encoder already score the resynthesis like the original.

The quantizer joins once the autoencoder works; its codebooks start from k-means over real embeddings. With ``init``, a
codec folder, training continues from those weights; ``restart_step: 0`` initializes the codebooks from the new speech.

It is resumable: the state goes to ``work/codec_state`` every 500 steps, serves a run of the same settings and data only
(:mod:`bootstrap.resuming`), and is removed once the codec is written.
"""

from __future__ import annotations

import math
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torchaudio
import typer
from encodec import EncodecModel

from bootstrap import resuming
from model.codecs import encodec
from model.errors import TrainingError
from tasks.common import yaml12
from tasks.common.stage import one_message


class MelLoss(torch.nn.Module):
    """Mean absolute log-mel difference over window lengths of 256, 512 and 1024 samples.

    The floor (1e-2) keeps near-silence, where log explodes, from dominating the loss.
    """

    def __init__(self, sample_rate: int, floor: float = 1e-2):
        super().__init__()
        self.floor = floor
        self.mels = torch.nn.ModuleList(
            torchaudio.transforms.MelSpectrogram(
                sample_rate, n_fft=n_fft, hop_length=n_fft // 4, n_mels=n_mels, power=1.0, f_max=sample_rate / 2
            )
            for n_fft, n_mels in ((256, 32), (512, 64), (1024, 80))
        )

    def forward(self, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        """Return the scalar loss of two waveform batches ``(batch, samples)``."""
        terms = [(m(x).clamp(min=self.floor).log() - m(y).clamp(min=self.floor).log()).abs().mean() for m in self.mels]
        return torch.stack(terms).mean()


def linear_loss(y: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
    """Return spectral convergence (Arik et al., arXiv 1808.06719): relative error of magnitudes, over three windows.

    A waveform loss is minimal without unpredictable harmonics, and a log-mel loss hardly reacts: resynthesis loses half
    of its energy, and the voice. This loss weighs loud harmonics most.
    """
    terms = []
    for n_fft in (256, 512, 1024):
        window = torch.hann_window(n_fft)
        a, b = (torch.stft(w, n_fft, n_fft // 4, window=window, return_complex=True).abs() for w in (x, y))
        error, size = (a - b).square().sum((1, 2)), a.square().sum((1, 2))
        terms.append(((error + 1e-6).sqrt() / (size + 1e-2).sqrt()).mean())
    return torch.stack(terms).mean()


def scale_gains(model: torch.nn.Module, gain: float) -> None:
    """Multiply every weight-norm gain, so that the signal survives a stack of ELUs at initialization."""
    for name, parameter in model.named_parameters():
        if name.endswith("weight_g"):
            parameter.data.mul_(gain)


def random_crops(audio: torch.Tensor, n: int, samples: int, generator: torch.Generator) -> torch.Tensor:
    """Return float crops ``(n, samples)`` of the int16 stream. They may span utterances, which a codec must bear."""
    starts = torch.randint(0, audio.numel() - samples, (n,), generator=generator)
    return torch.stack([audio[s : s + samples] for s in starts.tolist()]).float() / 32768.0


@one_message()
def main(
    params_file: Path = Path("bootstrap/params.yaml"), work: Path = Path("bootstrap/work"), block: str = "codec"
) -> None:
    """Train the codec that ``block`` of the parameters describes."""
    p = yaml12.loads(params_file.read_text())[block]
    out, restart = p.get("out", "codec"), p.get("restart_step")
    torch.set_num_threads(p["threads"])
    torch.manual_seed(p["seed"])
    if p.get("init"):
        model, config = encodec.load_model(p["init"]), encodec.read_config(Path(p["init"]))
    else:
        config = encodec.CodecConfig()
        model = encodec.build(config)
        scale_gains(model, p["gain"])
    speech = work / "data" / "train.npz"
    audio = torch.from_numpy(np.load(speech)["audio"])  # int16, utterances end to end
    mel_loss = MelLoss(config.sample_rate)
    weights = {"log_mel": 1.0, "linear": 0.0, "waveform": 1.0, **p.get("losses", {})}
    optimizer = torch.optim.AdamW(model.parameters(), lr=p["lr"], betas=(0.8, 0.99), weight_decay=1e-4)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda s: lr_scale(s, restart or 0, p["max_steps"]))
    generator = torch.Generator().manual_seed(p["seed"])
    step, state_file = 0, work / f"{out}_state" / "state.pt"
    run = resuming.identity(p, {"speech": speech} | ({"init": Path(p["init"])} if p.get("init") else {}))
    parts: dict[str, resuming.Stateful] = {"model": model, "optimizer": optimizer, "schedule": schedule}
    if state := resuming.load_state(state_file, run, parts):
        generator.set_state(state["generator"])
        step = state["step"]

    for book in codebooks(model):
        book.threshold_ema_dead_code = 0  # revive_dead_codes does what this should
    samples = int(p["crop_seconds"] * config.sample_rate)
    samples -= samples % int(model.encoder.hop_length)
    model.train()
    recent, started = [], time.time()
    while step < p["max_steps"]:
        x = random_crops(audio, p["batch_size"], samples, generator)
        embedding = model.encoder(x.unsqueeze(1))
        commitment = torch.zeros(())
        if step >= p["quantize_from_step"] or p.get("init"):
            if step == restart or not all(book.inited for book in codebooks(model)):
                initialize_codebooks(model, random_crops(audio, 160, samples, generator))
            if step % 20 == 0:
                revive_dead_codes(model, embedding.detach(), p["dead_code_threshold"])
            quantized = model.quantizer(embedding, model.frame_rate, None)
            embedding, commitment = quantized.quantized, quantized.penalty
        y = model.decoder(embedding)[:, 0, :samples]
        loss = weights["log_mel"] * mel_loss(y, x) + p["commitment"] * commitment
        if weights["waveform"]:
            loss = loss + weights["waveform"] * (y - x).abs().mean()
        if weights["linear"]:
            loss = loss + weights["linear"] * linear_loss(y, x)
        if not torch.isfinite(loss):
            raise TrainingError(f"codec training diverged at step {step}: loss {loss.item()}")
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        step += 1
        recent.append(loss.item())
        if step % 200 == 0:
            left = (time.time() - started) / 200 * (p["max_steps"] - step)
            used = int((codebooks(model)[0].cluster_size > 0.1).sum())
            print(
                f"step {step}: loss {np.mean(recent):.4f}, level 1 uses {used} codes, {left / 60:.0f} min left",
                flush=True,
            )
            recent, started = [], time.time()
        if step % resuming.SAVE_EVERY == 0:
            resuming.save_state(state_file, run, parts, step, generator=generator.get_state())
    encodec.save(model, config, work / out)
    state_file.unlink(missing_ok=True)  # after the codec: a kill between them costs no training


def codebooks(model: EncodecModel) -> list[Any]:
    """Return the package's ``EuclideanCodebook`` of each residual level."""
    return [layer._codebook for layer in model.quantizer.vq.layers]


def lr_scale(step: int, restart: int, end: int) -> float:
    """Return the learning-rate factor: warm-up and cosine decay, and again from ``restart`` on at half the height."""
    first, begin, stop = (1.0, 0, restart) if step < restart else (0.5, restart, end)
    return (
        first
        * min(1.0, (step - begin + 1) / 200)
        * 0.5
        * (1 + math.cos(math.pi * min(1.0, (step - begin) / (stop - begin))))
    )


@torch.no_grad()
def revive_dead_codes(model: EncodecModel, embedding: torch.Tensor, threshold: float) -> None:
    """Move codes that are hardly used onto residuals of this batch.

    The package's own expiry replaces ``embed`` only, and its moving average writes the old code back in the same step.
    Dead codes stay dead, and level 1 can shrink to a handful. Here the averages move too.
    """
    residual = embedding.permute(0, 2, 1).reshape(-1, embedding.shape[1])
    for book in codebooks(model):
        dead = (book.cluster_size < threshold).nonzero()[:, 0]
        if len(dead):
            fresh = residual[torch.randint(0, len(residual), (len(dead),))]
            book.embed[dead], book.embed_avg[dead], book.cluster_size[dead] = fresh, fresh, 1.0
        residual = residual - book.dequantize(book.quantize(residual))


def initialize_codebooks(model: EncodecModel, crops: torch.Tensor) -> None:
    """Run k-means at each residual level over real embeddings; the package takes a handful of frames."""
    with torch.no_grad():
        residual = torch.cat([model.encoder(c.unsqueeze(1)) for c in crops.split(8)]).permute(0, 2, 1)
        residual = residual.reshape(-1, residual.shape[-1])[:4000]
        for book in codebooks(model):
            book.inited.zero_()
            book.init_embed_(residual)
            # Long-run counts (a batch has samples / hop frames per crop), and averages that fit them.
            book.cluster_size.fill_(1.0)
            book.embed_avg.copy_(book.embed)
            residual = residual - book.dequantize(book.quantize(residual))


if __name__ == "__main__":
    typer.run(main)
