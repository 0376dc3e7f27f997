"""Our losses and TRL's own, on the same policy, reference and pairs: values and the gradient of every weight.

TRL has no RPO; the other files of this folder check every objective against a loop.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch

from model.layouts.own import BOS, EOS, PAD
from model.objectives.dpo import dpo_loss
from model.objectives.ipo import ipo_loss
from model.objectives.kto import kto_loss, reference_point
from model.objectives.simpo import simpo_loss
from tests.model.objectives import small

Trainer = Callable[..., Any]


@pytest.fixture(scope="module")
def trainers(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Trainer]:
    """TRL's trainers by name, made on demand: ``trainers["DPO"](policy, reference, beta=0.1)``.

    A trainer insists on a tokenizer and a text to prepare when it is made. Both are there for show: the losses are then
    asked for on tokens, through the trainer's own collator.
    """
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("TRL_EXPERIMENTAL_SILENCE", "1")
        from datasets import Dataset  # late, because TRL takes seconds to import
        from tokenizers import Tokenizer, models, pre_tokenizers
        from transformers import PreTrainedTokenizerFast
        from trl import DPOConfig, DPOTrainer, KTOConfig, KTOTrainer
        from trl.experimental.cpo import CPOConfig, CPOTrainer

    words = Tokenizer(models.WordLevel({"<pad>": PAD, "<s>": BOS, "</s>": EOS, "a": 5, "<unk>": 6}, "<unk>"))
    words.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    marks = {"pad_token": "<pad>", "bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>"}
    folder = str(tmp_path_factory.mktemp("trl"))
    common = {"output_dir": folder, "use_cpu": True, "bf16": False, "report_to": "none"}

    def made(trainer: Any, config: Any, text: dict[str, list]) -> Trainer:
        def make(model: Any, reference: Any | None = None, **options: Any) -> Any:
            others = {} if reference is None else {"ref_model": reference}
            return trainer(
                model,
                **others,
                args=config(**common, **options),
                train_dataset=Dataset.from_dict(text),
                processing_class=PreTrainedTokenizerFast(tokenizer_object=words, **marks),
            )

        return make

    paired = {"prompt": ["a a"], "chosen": [" a"], "rejected": [" a a"]}
    single = {"prompt": ["a a"] * 2, "completion": [" a", " a a"], "label": [True, False]}
    return {
        "DPO": made(DPOTrainer, DPOConfig, paired),
        "CPO": made(CPOTrainer, CPOConfig, paired),
        "KTO": made(KTOTrainer, KTOConfig, single),
    }


@pytest.fixture
def policy() -> Any:
    return small.ar(0).float()  # TRL computes in float32


@pytest.fixture
def reference() -> Any:
    return small.ar(1).float()


def same(ours: torch.Tensor, policy: Any, theirs: torch.Tensor, their_policy: Any) -> None:
    """Equal losses and gradients, ours and TRL's being of two copies of one policy."""
    torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=1e-5)
    ours.backward()
    theirs.backward()
    for a, b in zip(policy.parameters(), their_policy.parameters(), strict=True):
        assert b.grad is not None and b.grad.abs().max() > 0
        torch.testing.assert_close(a.grad, b.grad, atol=2e-5 * b.grad.abs().max().item(), rtol=1e-4)


def preferences(pairs: list[small.Pair]) -> list[dict[str, list[int]]]:
    """Rows as DPOTrainer's collator takes them."""
    return [{"prompt_ids": p.context, "chosen_ids": p.chosen, "rejected_ids": p.rejected} for p in pairs]


@pytest.mark.parametrize("beta", [0.1, 0.7])
@pytest.mark.parametrize("loss_type", ["sigmoid", "sigmoid_norm", "ipo"])
def test_dpo_its_length_normalized_form_and_ipo_are_trls(trainers, policy, reference, loss_type, beta):
    pairs, other = small.some_pairs(), copy.deepcopy(policy)
    logprobs = small.batched_pairs(policy, reference, pairs)
    ours = {
        "sigmoid": lambda: dpo_loss(logprobs, beta=beta),
        "sigmoid_norm": lambda: dpo_loss(logprobs.per_token(), beta=beta),
        "ipo": lambda: ipo_loss(logprobs, beta=beta),
    }[loss_type]()
    trainer = trainers["DPO"](other, reference, beta=beta, loss_type=[loss_type])
    theirs = trainer.compute_loss(other, trainer.data_collator(preferences(pairs)))
    same(ours.mean(), policy, theirs, other)


def test_label_smoothing_is_trls(trainers, policy, reference):
    """TRL smooths labels in its ``aot`` loss, which on a batch of one pair, where there is nothing to sort, is DPO."""
    pairs, other = small.some_pairs(), copy.deepcopy(policy)
    ours = dpo_loss(small.batched_pairs(policy, reference, pairs), beta=0.3, label_smoothing=0.2)
    trainer = trainers["DPO"](other, reference, beta=0.3, loss_type=["aot"], label_smoothing=0.2)
    theirs = [trainer.compute_loss(other, trainer.data_collator([row])) for row in preferences(pairs)]
    same(ours.sum(), policy, torch.stack(theirs).sum(), other)


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_simpo_is_trls(trainers, policy, reference, smoothing):
    pairs, other = small.some_pairs(), copy.deepcopy(policy)
    ours = simpo_loss(small.batched_pairs(policy, reference, pairs), beta=2.0, gamma=0.5, label_smoothing=smoothing)
    options = {"beta": 2.0, "simpo_gamma": 0.5, "label_smoothing": smoothing, "cpo_alpha": 0.0, "max_length": 64}
    trainer = trainers["CPO"](other, loss_type="simpo", **options)
    rows = []
    for p in pairs:
        row = {"prompt_input_ids": p.context, "prompt_attention_mask": [1] * len(p.context)}
        for side, target in (("chosen", p.chosen), ("rejected", p.rejected)):
            row[f"{side}_input_ids"] = p.context + target
            row[f"{side}_attention_mask"] = [1] * len(p.context + target)
            row[f"{side}_labels"] = [-100] * len(p.context) + target
        rows.append(row)
    theirs, _ = trainer.get_batch_loss_metrics(other, trainer.data_collator(rows))
    same(ours.mean(), policy, theirs, other)


@pytest.mark.parametrize("weights", [(1.0, 1.0), (1.0, 1.33)])
def test_kto_is_trls(trainers, policy, reference, weights):
    pairs, other = small.some_pairs(), copy.deepcopy(policy)
    contexts = [p.context for p in pairs] * 2
    targets = [p.chosen for p in pairs] + [p.rejected for p in pairs]
    elsewhere = [*targets[-1:], *targets[:-1]]  # every text with the speech before its own, as TRL mismatches them
    with torch.no_grad():
        anchor = small.batched(reference, contexts, targets)[0]
        moved = [small.batched(m, contexts, elsewhere)[0] for m in (policy, reference)]
    desirable = [True] * len(pairs) + [False] * len(pairs)
    ratio = small.batched(policy, contexts, targets)[0] - anchor
    ours = kto_loss(
        logratio=ratio,
        desirable=torch.tensor(desirable),
        z0=reference_point(logprobs=moved[0], reference=moved[1]),
        beta=0.2,
        desirable_weight=weights[0],
        undesirable_weight=weights[1],
    )
    trainer = trainers["KTO"](other, reference, beta=0.2, desirable_weight=weights[0], undesirable_weight=weights[1])
    columns = zip(contexts, targets, elsewhere, desirable, strict=True)
    rows = [{"prompt_ids": c, "completion_ids": t, "KL_completion_ids": e, "label": d} for c, t, e, d in columns]
    same(ours.mean(), policy, trainer.compute_loss(other, trainer.data_collator(rows)), other)
