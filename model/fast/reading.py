"""Whisper's greedy decoding on a CPU without what only its command reads: log-probabilities and the chance of silence.

Whisper's vocabulary has 50,000 tokens. A small recognizer spends a quarter of its time on three passes over all of
them: for the best token (which NumPy finds faster than torch), for its log-probability, and for that of silence.
"""

from __future__ import annotations

import numpy as np
import torch
import whisper
from whisper.decoding import DecodingTask, GreedyDecoder
from whisper.model import Whisper


def read_greedily(model: Whisper, mels: torch.Tensor, options: whisper.DecodingOptions) -> list[str]:
    """Return the text of each of ``mels (batch, n_mels, frames)``, as ``whisper.decode`` does at temperature 0."""
    task: DecodingTask = DecodingTask(model, options)
    if model.device.type == "cpu":
        task = _Task(model, options)
        task.decoder = _Best(options.temperature, task.tokenizer.eot)
    return [result.text for result in task.run(mels)]


class _Task(DecodingTask):
    def _main_loop(
        self, audio_features: torch.Tensor, tokens: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor, list[float]]:
        nothing = torch.zeros(len(tokens))
        try:
            for _ in range(self.sample_len):
                logits = self.inference.logits(tokens, audio_features)[:, -1]
                for logit_filter in self.logit_filters:
                    logit_filter.apply(logits, tokens)
                tokens, completed = self.decoder.update(tokens, logits, nothing)
                if completed or tokens.shape[-1] > self.n_ctx:
                    break
        finally:
            self.inference.cleanup_caching()
        return tokens, nothing, nothing.tolist()


class _Best(GreedyDecoder):
    def update(
        self, tokens: torch.Tensor, logits: torch.Tensor, sum_logprobs: torch.Tensor
    ) -> tuple[torch.Tensor, bool]:
        best = torch.from_numpy(np.argmax(logits.numpy(), axis=-1))
        best[tokens[:, -1] == self.eot] = self.eot
        return torch.cat([tokens, best[:, None]], dim=-1), bool((best == self.eot).all())
