"""Log-probabilities of the pairs under the reference policy."""

from __future__ import annotations

import torch
from transformers import PreTrainedModel

from model.fast.shared_context import collate_pairs, pair_logprobs
from model.pairs.sequences import codes_in
from tasks.common.progress import Bar
from tasks.common.utterances import Row


@torch.inference_mode()
def add_reference_logprobs(pairs: list[Row], model: PreTrainedModel, batch_size: int, iteration: str) -> None:
    """Add both sides' log-probabilities under ``model`` to every pair, in nats, summed over tokens and stop."""
    order = sorted(range(len(pairs)), key=lambda i: codes_in(pairs[i]))
    with Bar(f"prefer@{iteration} reference", len(pairs)) as bar:
        for first in range(0, len(order), batch_size):
            part = [pairs[i] for i in order[first : first + batch_size]]
            scored = pair_logprobs(model, **collate_pairs(part))
            for pair, chosen, rejected in zip(part, *scored, strict=True):
                pair["chosen_logprob"], pair["rejected_logprob"] = chosen.item(), rejected.item()
            bar.advance(len(part))
