"""Speed of codec token extraction against EnCodec's own: ``python -m benchmarks.extraction``.

The same codec (``models.codec``), the same test utterances, interleaved in one run: ``encode`` of the codec
as the stage ``extract`` calls it, and the package's ``EncodecModel.encode`` file by file. Prints seconds of audio
per second, the ratio with its 95 % interval over rounds, and how many utterances and codes came out the same.

Both get the utterance padded with silence to whole frames, as ``extract`` does. The package would reflect the end of
the audio, so its last codes would differ. The share of equal codes without that silence is printed as well.
"""

from __future__ import annotations

import time

import numpy as np
import torch
import typer
from lhotse import CutSet

from benchmarks.ratios import ratio_line
from model.codecs.encodec import load_model
from model.codecs.registry import load_codec
from tasks.common import paths, runtime
from tasks.extract.__main__ import seconds_per_pass


def main(utterances: int = 128, rounds: int = 7) -> None:
    """Measure ``rounds`` rounds, each of both ways on the same utterances."""
    params, device = runtime.start()
    batch_seconds = seconds_per_pass(params, device)
    codec = load_codec(params.models.codec, device)
    package = load_model(params.models.codec).to(device)  # EnCodec's own layers
    cuts = list(CutSet.from_file(paths.cuts("test")))
    chosen = np.random.default_rng(params.seed).permutation(len(cuts))[:utterances]
    waves = [torch.from_numpy(cuts[i].load_audio()[0]) for i in chosen]
    whole = [torch.nn.functional.pad(w, (0, -len(w) % codec.hop_length)) for w in waves]
    seconds = sum(len(w) for w in waves) / codec.sample_rate

    @torch.inference_mode()
    def one_by_one(inputs: list[torch.Tensor]) -> list[torch.Tensor]:
        return [torch.cat([c for c, _ in package.encode(w[None, None].to(device))], -1)[0].cpu() for w in inputs]

    ours = codec.encode(waves, batch_seconds)  # once before the timed rounds, like theirs
    theirs = one_by_one(whole)
    unpadded = one_by_one(waves)
    speeds: dict[str, list[float]] = {"speechalign": [], "EnCodec, file by file": []}
    for _ in range(rounds):
        for name in speeds:
            started = time.perf_counter()
            if name == "speechalign":
                codec.encode(waves, batch_seconds)
            else:
                one_by_one(whole)
            speeds[name].append(seconds / (time.perf_counter() - started))
    print(f"{len(waves)} utterances, {seconds:.0f} s of audio, {torch.get_num_threads()} threads")
    for name, values in speeds.items():
        print(f"{name}: {np.median(values):.0f} s of audio per second")
    print(ratio_line("speechalign / EnCodec, file by file", *speeds.values()))
    for title, others in (("", theirs), (" without the silence at the end", unpadded)):
        same = sum(torch.equal(a, b) for a, b in zip(ours, others, strict=True))
        codes = sum(int((a == b[:, : a.shape[1]]).sum()) for a, b in zip(ours, others, strict=True))
        total = sum(a.numel() for a in ours)
        print(f"same codes{title}: {same} of {len(ours)} utterances, {codes} of {total} codes ({codes / total:.4%})")


if __name__ == "__main__":
    typer.run(main)
