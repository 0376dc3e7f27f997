"""Each method's loss, away from the reference and with every option set, against one unpadded sequence at a time."""

import math

import pytest
import torch

from model.objectives.coh import BAD, GOOD
from tasks.align.method import Job
from tasks.align.methods import METHODS
from tasks.align.train_set import TrainSet
from tasks.common.utterances import Utterances
from tasks.common.voices import Voices
from tests.tasks.align.pairs import OWN, job, pair, small_ar

OPTIONS = {"nll_weight": 0.3, "label_smoothing": 0.2, "epochs": 1, "batch_pairs": 4}
# From 2 to 45 tokens: batches are padded to one, two or three times the width that shapes are rounded to.
LENGTHS = [(3, 45), (40, 2), (4, 9), (33, 7)]


def some_pairs():
    """Return pairs with reference log-probabilities of another policy than the one that is trained."""
    rows, generator = [], torch.Generator().manual_seed(0)
    for i, (chosen, rejected) in enumerate(LENGTHS):
        sides = [torch.randint(0, 16, (n,), generator=generator).tolist() for n in (chosen, rejected)]
        row = pair(i, *sides, text="one two"[: 2 + i], rejected_finished=bool(i % 2), rejected_wer=0.2 * (i + 1))
        row["chosen_logprob"], row["rejected_logprob"] = (
            logprob(small_ar(seed=1), row, side)[0].item() for side in ("chosen", "rejected")
        )
        rows.append(row)
    return rows


def logprob(ar, row, side, context=None):
    """Return the log-probability of a side's target and its length, from one forward pass without padding."""
    context, target = context or row["context"], row[side]
    context, target = context + target[: row[f"{side}_from"]], target[row[f"{side}_from"] :]
    logits = ar(torch.tensor([context + target])).logits[0].double().log_softmax(-1)
    places = range(len(context) - 1, len(context) + len(target) - 1)
    return sum(logits[place, token] for place, token in zip(places, target, strict=True)), len(target)


def taught(rows):
    """Return a policy that gives both sides a higher probability than the reference does: KTO's z0 is above 0."""
    ar = small_ar()
    optimizer = torch.optim.Adam(ar.parameters(), lr=1e-2)
    for _ in range(10):
        loss = -sum(logprob(ar, row, side)[0] for row in rows for side in ("chosen", "rejected"))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return ar


def log_sigmoid(x):
    return -math.log1p(math.exp(-x))


def mismatched(ar, rows):
    """Return KTO's z0: the mean log-ratio of every text with the next one's speech, chosen and rejected."""
    ratios = []
    for i, row in enumerate(rows):
        other = {**rows[(i + 1) % len(rows)], "context": row["context"]}
        for side in ("chosen", "rejected"):
            ratios.append((logprob(ar, other, side)[0] - logprob(small_ar(seed=1), other, side)[0]).item())
    return sum(ratios) / len(ratios)


def naive(method, ar, rows, made):
    """Return the mean over pairs (Chain of Hindsight: over sequences), written out from the papers' equations."""
    p, total = made.align, 0.0
    if method == "coh":
        nll = []
        for row in rows:
            for side, prefix in (("chosen", GOOD), ("rejected", BAD)):
                value, n = logprob(ar, row, side, OWN.context(prefix + row["text"], row["prompt"]))
                nll.append(-value.item() / n)
        return sum(nll) / len(nll)
    beta = made.beta
    z0 = mismatched(ar, rows) if method == "kto" else 0.0
    for row in rows:
        (chosen, n), (rejected, m) = ((v.item(), k) for v, k in (logprob(ar, row, s) for s in ("chosen", "rejected")))
        won, lost = chosen - row["chosen_logprob"], rejected - row["rejected_logprob"]
        gap = row["rejected_wer"] - row["chosen_wer"] + row["chosen_similarity"] - row["rejected_similarity"]
        if method == "dpo":
            margin = beta * (won / n - lost / m if p.length_normalized else won - lost)
            loss = -0.8 * log_sigmoid(margin) - 0.2 * log_sigmoid(-margin)
        elif method == "ipo":
            loss = (won / n - lost / m - 1 / (2 * beta)) ** 2
        elif method == "simpo":
            margin = beta * (chosen / n - rejected / m) - p.simpo.gamma
            loss = -0.8 * log_sigmoid(margin) - 0.2 * log_sigmoid(-margin)
        elif method == "rpo":
            share, ours = (1 / (1 + math.exp(-x)) for x in (p.rpo.eta * gap, beta * (won - lost)))
            loss = share * math.log(share / ours) + (1 - share) * math.log((1 - share) / (1 - ours))
        else:
            good, bad = (1 / (1 + math.exp(-beta * x)) for x in (won - z0, z0 - lost))
            loss = ((1 - good) + (1 - bad)) / 2
        total += loss + p.nll_weight * -chosen / n
    return total / len(rows)


@pytest.mark.parametrize("micro", [4, 1])
@pytest.mark.parametrize("name", ["dpo", "dpo length-normalized", "ipo", "rpo", "simpo", "kto", "coh"])
def test_the_loss_is_that_of_one_sequence_at_a_time(monkeypatch, name, micro):
    monkeypatch.setattr(Job, "load_reference", lambda self: small_ar(seed=1).requires_grad_(False))
    options = {**OPTIONS, "method": name.split()[0], "length_normalized": "length" in name, "micro_pairs": micro}
    rows = some_pairs()
    ar = taught(rows)
    made = job(ar, rows, **options)
    method = METHODS[options["method"]](made)
    batches = method.batches(0)
    if micro == 1:
        assert len({b["tokens"].shape[1] for b in batches}) > 1  # padded by different amounts
    # In the order of the step: KTO's mismatched pairs depend on it.
    order = list(dict.fromkeys(id_ for b in batches for id_ in b.ids))
    rows = [next(r for r in rows if f"{r['id']}@1" == id_) for id_ in order]
    with torch.no_grad():
        found = sum(method.loss(method.model, b)[0] for b in batches) / sum(b.weight for b in batches)
        expected = naive(options["method"], ar, rows, made)
        if name == "kto":
            assert batches[0]["z0"].item() == pytest.approx(mismatched(ar, rows), rel=1e-5) and batches[0]["z0"] > 1
    assert found.item() == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("name", ["dpo", "ipo", "simpo"])
def test_of_a_segment_the_loss_is_about_the_tokens_from_there_on(name):
    rows = [{**row, "chosen_from": i, "rejected_from": 2 - i} for i, row in enumerate(some_pairs()[:3])]
    for row in rows:
        row["chosen_logprob"], row["rejected_logprob"] = (
            logprob(small_ar(seed=1), row, side)[0].item() for side in ("chosen", "rejected")
        )
    ar = small_ar()
    made = job(ar, rows, **{**OPTIONS, "method": name})
    method = METHODS[name](made)
    [batch] = method.batches(0)
    with torch.no_grad():
        found = method.loss(method.model, batch)[0] / batch.weight
        expected = naive(name, ar, rows, made)
    assert found.item() == pytest.approx(expected, rel=1e-5)


def test_continued_sft_is_the_mean_negative_log_likelihood_per_token(monkeypatch):
    lengths = [40, 3, 20, 9]
    golden = [
        {
            "id": f"g{i}",
            "speaker": "a",
            "text": "one",
            "codes": [list(range(5)) * (n // 5) + [1] * (n % 5)],
            "seen": True,
            "seconds": n / 50,
        }
        for i, n in enumerate(lengths)
    ]
    monkeypatch.setattr(Job, "train_set", TrainSet(Voices(Utterances.of(golden), 50), OWN.layout))
    ar = small_ar()
    made = job(ar, some_pairs(), **OPTIONS, method="sft", micro_pairs=4)
    method = METHODS["sft"](made)
    [batch] = method.batches(0)
    expected = 0.0
    for tokens, labels in zip(batch["tokens"], batch["labels"], strict=True):
        scored = (labels >= 0).nonzero()[:, 0]
        end = int(scored[-1]) + 2  # labels name the next token
        with torch.no_grad():
            logits = ar(tokens[None, :end]).logits[0].double().log_softmax(-1)
        expected -= sum(logits[i, labels[i]].item() for i in scored) / len(scored)
    with torch.no_grad():
        found = method.loss(ar, batch)[0].item()
    assert found == pytest.approx(expected, rel=1e-5)
