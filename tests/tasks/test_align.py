import math

import pytest
import torch

from model import policy
from model.objectives.logprobs import collate, sequence_logprobs
from model.tokens import Vocabulary
from tasks.align import batch_of, check, objective, schedule_of
from tasks.files import DataError
from tasks.params import Align

VOCABULARY = Vocabulary(16)
SETTINGS = Align(
    method="dpo", lr=1e-4, epochs=2, batch_pairs=4, micro_pairs=4, nll_weight=0.0, label_smoothing=0.0, warmup=0.1,
    max_grad_norm=1.0,
)  # fmt: skip


def pair(i=0, chosen=(1, 2, 3), rejected=(4, 5), **changes):
    return {
        "id": f"u{i}", "iteration": "1", "text": "one", "prompt": [1, 2], "chosen": list(chosen),
        "rejected": list(rejected), "rejected_finished": True, "chosen_logprob": -1.0, "rejected_logprob": -2.0,
        **changes,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("pairs", "message"),
    [
        ([], "no preference pairs"),
        ([pair(chosen=())], "pair u0 of iteration 1 has an empty side: 0 and 2 tokens"),
        ([pair(rejected=())], "has an empty side"),
        ([pair(rejected=(1, 2, 3))], "has two equal sides"),
        ([pair(chosen_logprob=float("nan"))], "expected finite numbers"),
    ],
)
def test_pairs_that_cannot_teach_are_refused(pairs, message):
    with pytest.raises(DataError, match=message):
        check(pairs)


def test_the_loss_at_step_0_is_ln_2_with_cached_reference_logprobs():
    torch.manual_seed(0)
    ar = policy.build(policy.ArShape(layers=1, width=16, heads=2, max_positions=64), VOCABULARY).eval()
    pairs = [pair(i, chosen=range(i + 1), rejected=range(9, 11 + i), rejected_finished=bool(i % 2)) for i in range(5)]
    for p in pairs:  # each on its own, as a check on padding
        for side, finished in (("chosen", True), ("rejected", p["rejected_finished"])):
            context = VOCABULARY.context(p["text"], p["prompt"])
            ids, labels = collate([context], [VOCABULARY.target(p[side], finished)])
            p[f"{side}_logprob"] = sequence_logprobs(ar(ids).logits, labels).item()
    loss, metrics = objective(SETTINGS, beta=0.5)(ar, batch_of(pairs, VOCABULARY))
    assert loss.item() / 5 == pytest.approx(math.log(2), abs=1e-5)
    assert metrics["margin"] == pytest.approx(0.0, abs=1e-4)


def test_every_epoch_sees_every_pair_once_in_steps_of_the_given_size():
    steps = schedule_of([pair(i) for i in range(10)], SETTINGS, seed=1)
    assert [len(s) for s in steps].count(4) == 4
    assert sorted(i for s in steps[:3] for i in s) == list(range(10))
    assert sorted(i for s in steps[3:] for i in s) == list(range(10))
    assert steps[:3] != steps[3:]
