"""TRL's ``DPOTrainer`` on token ids, for every benchmark that compares with it: the settings are filled in here alone.

AdamW, learning rates and clipping are those of :func:`model.training.fit`; batches come in the order of the rows.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from datasets import Dataset
from tokenizers import Tokenizer, models
from transformers import PreTrainedTokenizerFast
from trl import DPOConfig, DPOTrainer

from model.training import Optimization

Rows = Sequence[dict[str, list[int]]]  # token ids: prompt_ids, chosen_ids, rejected_ids


class OnTokens(DPOTrainer):
    """TRL's trainer without a tokenizer; ``losses`` has every step's loss, to the last digit."""

    losses: list[float]

    def _prepare_dataset(self, dataset: Any, *_: Any) -> Any:
        return dataset

    def compute_loss(self, *args: Any, **kwargs: Any) -> Any:
        loss = super().compute_loss(*args, **kwargs)
        self.losses.append(loss.item())
        return loss


@contextmanager
def dpo_trainer(
    model: Any,
    rows: Rows,
    plan: Optimization,
    *,
    beta: float,
    batch_pairs: int,
    reference: Any = None,
    cached: bool,
    recomputed: bool,
    adapters: Any = None,
    bf16: bool = False,
    callbacks: Sequence[Any] = (),
) -> Iterator[OnTokens]:
    """Yield a trainer; its files are gone after the block.

    Args:
        plan: learning rate of each step, number of steps and largest norm of the gradient.
        cached: reference log-probabilities are computed before the training; otherwise ``reference``, or the model
            without its ``adapters``, is computed in each step.
        recomputed: activations are computed again for the gradient.
        bf16: on a GPU; otherwise on a CPU in float32.
    """
    words = PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer(models.WordLevel({"<pad>": 0, "</s>": 2})), pad_token="<pad>", eos_token="</s>"
    )
    with tempfile.TemporaryDirectory() as folder:
        config = DPOConfig(
            folder,
            beta=beta,
            per_device_train_batch_size=batch_pairs,
            max_steps=plan.steps,
            max_grad_norm=plan.max_grad_norm,
            train_sampling_strategy="sequential",
            gradient_checkpointing=recomputed,
            precompute_ref_log_probs=cached,
            max_length=None,
            bf16=bf16,
            use_cpu=not bf16,
            report_to="none",
            save_strategy="no",
            disable_tqdm=True,
        )
        trainer = OnTokens(
            model,
            reference,
            config,
            processing_class=words,
            train_dataset=Dataset.from_list(list(rows)),
            peft_config=adapters,
            callbacks=list(callbacks),
        )
        learned = [p for p in trainer.model.parameters() if p.requires_grad]
        trainer.optimizer = torch.optim.AdamW(learned, lr=plan.lr, betas=(0.9, 0.98), weight_decay=0.0)
        trainer.lr_scheduler = torch.optim.lr_scheduler.LambdaLR(trainer.optimizer, plan.scale)
        trainer.losses = []
        yield trainer
