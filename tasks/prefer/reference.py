"""Log-probabilities of the pairs under the reference policy."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from transformers import PreTrainedModel

from model.fast.shared_context import collate_pairs, pair_logprobs
from model.pairs.sequences import codes_in
from tasks.common.progress import Bar
from tasks.common.rows import Row


@torch.inference_mode()
def reference_logprobs(pairs: Sequence[Row], model: PreTrainedModel, batch_size: int, iteration: str) -> np.ndarray:
    """Return the log-probabilities under ``model`` of every pair's chosen and rejected side, float64 ``(pairs, 2)``.

    They are in nats, summed over tokens and stop.
    """
    found = np.zeros((len(pairs), 2))
    order = sorted(range(len(pairs)), key=lambda i: codes_in(pairs[i]))
    with Bar(f"prefer@{iteration} reference", len(pairs)) as bar:
        for first in range(0, len(order), batch_size):
            part = order[first : first + batch_size]
            scored = pair_logprobs(model, **collate_pairs([pairs[i] for i in part]))
            found[part] = torch.stack(scored, dim=1).double().cpu()
            bar.advance(len(part))
    return found
