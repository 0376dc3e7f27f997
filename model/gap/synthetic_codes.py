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
from typing import TYPE_CHECKING

import numpy as np
import torch

from model.layouts.speech import Speech, VoicePrompt
from model.objectives.logprobs import collate
from model.policy import Policy

if TYPE_CHECKING:
    pass


@torch.inference_mode()
def resampled(
    policy: Policy,
    texts: Sequence[str],
    prompts: Sequence[VoicePrompt],
    golden: Sequence[torch.Tensor],
    seeds: Sequence[int],
    temperature: float = 1.0,
    top_k: int = 0,
    batch_size: int = 32,
) -> list[torch.Tensor]:
    """Draw level-1 codes ``(frames,)`` from the policy at each frame, given the golden ones before it.

    Args:
        golden: level-1 codes ``(frames,)``.
        seeds: one per utterance; its draws depend on nothing else.
        top_k: draw from this many of the likeliest codes; 0: from all.
    """
    layout, codes_of = policy.layout, torch.from_numpy(policy.layout.code_tokens.ids[0])
    drawn = []
    for first in range(0, len(texts), batch_size):
        part = slice(first, first + batch_size)
        contexts = [layout.context(t, p) for t, p in zip(texts[part], prompts[part], strict=True)]
        targets = [layout.target(Speech.of(codes), finished=False) for codes in golden[part]]
        ids, _ = collate(contexts, targets)
        logits = policy.model(ids.to(policy.device)).logits.float().cpu()
        for row, (context, target, seed) in enumerate(zip(contexts, targets, seeds[part], strict=True)):
            own = logits[row, len(context) - 1 : len(context) - 1 + len(target)][:, codes_of]
            if top_k:
                least = own.topk(min(top_k, own.shape[-1]), dim=-1).values[:, -1:]
                own = own.masked_fill(own < least, float("-inf"))
            cdf = torch.softmax(own / temperature, dim=-1).double().cumsum(dim=-1)
            uniform = torch.from_numpy(np.random.default_rng(seed).random(len(target)))
            codes = torch.searchsorted(cdf, (uniform * cdf[:, -1])[:, None], right=True)[:, 0]
            drawn.append(codes.clamp(max=len(codes_of) - 1))
    return drawn
