"""Log-probabilities of the pairs under the reference policy."""

from __future__ import annotations

import torch
from transformers import LlamaForCausalLM

from model import policy
from model.fast.shared_context import collate_pairs, pair_logprobs
from tasks.common.progress import Bar
from tasks.common.utterances import Row


@torch.inference_mode()
def add_reference_logprobs(pairs: list[Row], ar: LlamaForCausalLM, batch_size: int, iteration: str) -> None:
    """Add both sides' log-probabilities under ``ar`` to every pair, in nats, summed over tokens and end mark."""
    vocabulary = policy.vocabulary_of(ar)
    order = sorted(range(len(pairs)), key=lambda i: len(pairs[i]["chosen"]) + len(pairs[i]["rejected"]))
    with Bar(f"prefer@{iteration} reference", len(pairs)) as bar:
        for first in range(0, len(order), batch_size):
            part = [pairs[i] for i in order[first : first + batch_size]]
            scored = pair_logprobs(ar, **collate_pairs(part, vocabulary))
            for pair, chosen, rejected in zip(part, *scored, strict=True):
                pair["chosen_logprob"], pair["rejected_logprob"] = chosen.item(), rejected.item()
            bar.advance(len(part))
