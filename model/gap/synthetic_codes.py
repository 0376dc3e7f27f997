"""Synthetic level-1 codes for training a NAR, aligned with golden audio.

A NAR learns levels 2 and up from level 1, so a synthetic level 1 needs targets. Free-running samples have none: their
timing is their own, and no recording of them exists. Two steps make targets:

1. Level 1 is drawn from the policy at each frame, given the golden frames before it (teacher forcing). Synthetic and
   golden frames stay aligned.
2. ``Codec.requantize`` quantizes the levels above: the residuals of what the synthetic code leaves of the golden frame.
   These best restore the golden sound despite the policy's tokens.

Unlike true samples, these lack the drift of a policy that continues from its own tokens.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from transformers import LlamaForCausalLM

from model.objectives.logprobs import collate
from model.policy import vocabulary_of
from model.tokens import FIRST_CODE


@torch.inference_mode()
def resampled(
    ar: LlamaForCausalLM,
    texts: Sequence[str],
    prompts: Sequence[torch.Tensor],
    golden: Sequence[torch.Tensor],
    seeds: Sequence[int],
    temperature: float = 1.0,
    top_k: int = 0,
    batch_size: int = 32,
) -> list[torch.Tensor]:
    """Draw level-1 codes ``(frames,)`` from the policy at each frame, given the golden ones before it.

    Args:
        prompts: voice prompts ``(levels, frames)``.
        golden: level-1 codes ``(frames,)``.
        seeds: one per utterance; its draws depend on nothing else.
        top_k: draw from this many of the likeliest codes; 0: from all.
    """
    vocabulary, device = vocabulary_of(ar), next(ar.parameters()).device
    drawn = []
    for first in range(0, len(texts), batch_size):
        part = slice(first, first + batch_size)
        contexts = [vocabulary.context(t, p[0].tolist()) for t, p in zip(texts[part], prompts[part], strict=True)]
        targets = [vocabulary.codes(g.tolist()) for g in golden[part]]
        ids, _ = collate(contexts, targets)
        logits = ar(ids.to(device)).logits.float().cpu()
        for row, (context, target, seed) in enumerate(zip(contexts, targets, seeds[part], strict=True)):
            own = logits[row, len(context) - 1 : len(context) - 1 + len(target), FIRST_CODE:]
            if top_k:
                least = own.topk(min(top_k, own.shape[-1]), dim=-1).values[:, -1:]
                own = own.masked_fill(own < least, float("-inf"))
            cdf = torch.softmax(own / temperature, dim=-1).double().cumsum(dim=-1)
            uniform = torch.from_numpy(np.random.default_rng(seed).random(len(target)))
            codes = torch.searchsorted(cdf, (uniform * cdf[:, -1])[:, None], right=True)[:, 0]
            drawn.append(codes.clamp(max=vocabulary.codebook_size - 1))
    return drawn
