import math
import re

import pytest
import torch

from model import policy
from model.layouts.speech import Speech
from tasks.common import paths, schemas
from tasks.common.files import read_table, write_table
from tasks.prefer import __main__ as prefer
from tests.tasks import sampled


@pytest.fixture
def small(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path, sampled.write(tmp_path)


def pairs_of(iteration="1"):
    return read_table(paths.pairs(iteration), schemas.PAIRS)


def test_votes_become_pairs_that_trace_to_samples_policy_and_raters(small, capsys):
    folder, samples = small
    (folder / "votes.csv").write_text(
        "id,A,B,choice,rater\n"
        "u0,1,0,A,anna\nu0,0,1,B,ben\nu0,0,1,A,cleo\n"  # draw 1 by 2 of 3
        "u1,0,2,B,anna\n"  # a sample that was cut off
        "u2,golden,1,B,anna\n"  # golden speech that lost
        "u2,golden,0,A,anna\n"
        "u3,0,1,A,anna\nu3,0,1,B,ben\n"  # an even split
        "u3,0,2,tie,anna\n"
    )
    sampled.configure(folder, source="votes", votes="votes.csv")

    prefer.main("1")

    pairs = pairs_of()
    by = {(s["id"], s["draw"]): s for s in samples}
    golden = sampled.LAYOUT.target(Speech.of(sampled.train_rows()["u2"]["codes"][0]))

    def side(id_, draw):
        sample = by[id_, draw]
        return sample["tokens"] + [stop for stop in [sample["stop"]] if stop is not None]

    expected = [
        ("u0", side("u0", 1), side("u0", 0), "2 of 3 raters"),
        ("u1", side("u1", 2), side("u1", 0), "1 of 1 rater"),
        ("u2", golden, side("u2", 0), "1 of 1 rater"),
        ("u2", side("u2", 1), golden, "1 of 1 rater"),
    ]
    assert [(p["id"], p["chosen"], p["rejected"], p["reason"]) for p in pairs] == expected
    assert [(p["chosen_seed"], p["rejected_seed"]) for p in pairs] == [
        (by["u0", 1]["seed"], by["u0", 0]["seed"]),
        (by["u1", 2]["seed"], by["u1", 0]["seed"]),
        (None, by["u2", 0]["seed"]),
        (by["u2", 1]["seed"], None),
    ]
    assert not pairs[1]["chosen_finished"] and pairs[1]["rejected_finished"]
    assert math.isnan(pairs[3]["rejected_wer"]) and not math.isnan(pairs[3]["chosen_wer"])
    for pair in pairs:
        sample = by[pair["id"], 0]
        assert (pair["policy"], pair["top_k"], pair["max_frames_per_character"]) == (sample["policy"], 0, 2.0)
        for side in ("chosen", "rejected"):
            assert pair[f"{side}_temperature"] == (None if pair[f"{side}_seed"] is None else 1.0)
        assert (pair["prompt_id"], pair["source"], pair["iteration"]) == (sample["prompt_id"], "votes", "1")
        assert math.isfinite(pair["chosen_logprob"]) and math.isfinite(pair["rejected_logprob"])
    [judge] = {pair["judge"] for pair in pairs}
    votes, judges = judge.split(",")
    assert votes.startswith("votes@") and votes.endswith(":3")
    assert re.fullmatch(r"checkpoints/whisper@[0-9a-f]{12}\+resemblyzer@[\d.]+", judges)
    out = capsys.readouterr().out
    assert f"{votes}: 9 votes by 3 rater(s) on 6 pairs of sounds: 4 with a majority, 2 ties" in out
    assert "warning: 9 votes do not say which samples were heard" in out
    assert len(read_table(paths.judgements("1"), schemas.JUDGEMENTS)) == len(samples)


@pytest.mark.parametrize(
    ("votes", "message"),
    [
        ("u0,0,1,A,anna\nghost,0,1,A,anna", "did not sample ghost"),
        ("u0,0,1,A,anna\nu0,1,0,A,anna", "voted twice"),
        ("u0,0,1,tie,anna", "gave no pair (source votes"),
        ("u0,0,1,A,anna\nu0,0,2", "torn"),
    ],
    ids=["unknown id", "voted twice", "nothing but a tie", "torn"],
)
def test_bad_votes_stop_the_stage_and_nothing_is_written(small, capsys, votes, message):
    folder, _ = small
    (folder / "votes.csv").write_text(f"id,A,B,choice,rater\n{votes}\n")
    sampled.configure(folder, source="votes", votes="votes.csv")

    with pytest.raises(SystemExit) as stopped:
        prefer.main("1")

    assert stopped.value.code == 1
    assert message in capsys.readouterr().err
    assert not paths.pairs("1").exists() and not paths.judgements("1").exists()


def test_later_votes_on_another_iteration_leave_the_pairs_as_they_were(small):
    folder, _ = small
    first = "id,A,B,choice,rater,iteration\nu0,0,1,A,anna,1\n"
    (folder / "votes.csv").write_text(first)
    sampled.configure(folder, source="votes", votes="votes.csv")
    prefer.main("1")
    before = paths.pairs("1").read_bytes()

    (folder / "votes.csv").write_text(first + "u1,0,1,B,ben,2\n")
    prefer.main("1")
    prefer.main("2")

    assert paths.pairs("1").read_bytes() == before
    assert [(p["id"], p["iteration"]) for p in pairs_of("2")] == [("u1", "2")]


def test_golden_pairs_name_the_sample_they_beat(small):
    folder, samples = small
    sampled.configure(folder, source="golden")

    prefer.main("1")

    pairs = pairs_of()
    assert [p["id"] for p in pairs] == ["u0", "u1", "u2", "u3"]
    assert [p["rejected_seed"] for p in pairs] == [s["seed"] for s in samples if s["draw"] == 0]
    assert {p["judge"].partition("@")[0] for p in pairs} == {"checkpoints/whisper"}
    assert all(p["chosen_seed"] is None and p["chosen_finished"] and math.isnan(p["chosen_wer"]) for p in pairs)


def test_what_is_judged_already_is_not_judged_again(small, capsys):
    folder, _ = small
    sampled.configure(folder, source="golden")
    prefer.main("1")
    judgements = read_table(paths.judgements("1"), schemas.JUDGEMENTS)
    paths.pairs("1").unlink()
    judgements[0]["hypothesis"] = "one one two"
    write_table(paths.judgements("1"), judgements, schemas.JUDGEMENTS)
    prefer.main("1", judged=True)
    assert read_table(paths.judgements("1"), schemas.JUDGEMENTS) == judgements
    assert pairs_of()[0]["rejected_wer"] == 0.5
    judgements[0]["seed"] += 1
    write_table(paths.judgements("1"), judgements, schemas.JUDGEMENTS)
    with pytest.raises(SystemExit):
        prefer.main("1", judged=True)
    assert "run without --judged" in capsys.readouterr().err


def logprobs(ar, pair):
    """Both sides' sums, end mark included where there is one, each sequence on its own."""
    context, sums = pair["context"], []
    for side in ("chosen", "rejected"):
        target = pair[side]
        with torch.no_grad():
            scored = ar(torch.tensor([context + target])).logits[0].double().log_softmax(-1)
        sums.append(sum(scored[len(context) - 1 + i, token].item() for i, token in enumerate(target)))
    return sums


@pytest.mark.parametrize(("reference", "anchors"), [("previous", ("0", "1")), ("start", ("0", "0"))])
def test_pairs_accumulate_and_all_of_them_are_scored_by_the_iterations_reference(small, reference, anchors):
    folder, _ = small
    sampled.configure(folder, source="golden", replay=0.5, reference=reference)
    prefer.main("1")
    prefer.main("2")
    made = {k: pairs_of(k) for k in ("1", "2")}
    assert [p["iteration"] for p in made["2"]] == ["2"] * 4 + ["1"] * 4
    tokens = [(p["id"], p["chosen"], p["rejected"]) for p in made["2"][4:]]
    assert tokens == [(p["id"], p["chosen"], p["rejected"]) for p in made["1"]]
    for k, anchor in zip(made, anchors, strict=True):
        ar = policy.load(paths.ar(anchor)).model
        assert {p["reference"] for p in made[k]} == {policy.digest(paths.ar(anchor))}
        for pair in made[k]:
            assert [pair["chosen_logprob"], pair["rejected_logprob"]] == pytest.approx(logprobs(ar, pair), rel=1e-5)
    sampled.configure(folder, replay=0.0)
    prefer.main("2")
    assert {p["iteration"] for p in pairs_of("2")} == {"2"}


def test_texts_without_a_recording_give_pairs_with_the_samples_own_text(small):
    folder, samples = small
    samples = [s | {"id": f"text-{s['id']}", "text": "six nine"} for s in samples]
    write_table(paths.samples("1"), samples, schemas.SAMPLES)
    (folder / "votes.csv").write_text("id,A,B,choice,rater\ntext-u0,0,1,A,anna\ntext-u3,0,1,B,anna\n")
    sampled.configure(folder, source="votes", votes="votes.csv")

    prefer.main("1")

    pairs = pairs_of()
    assert [(p["id"], p["text"], p["prompt_id"]) for p in pairs] == [
        ("text-u0", "six nine", "u2"),
        ("text-u3", "six nine", "u1"),
    ]
    judged = read_table(paths.judgements("1"), schemas.JUDGEMENTS)
    assert {(j["id"], j["words"]) for j in judged} == {(f"text-u{i}", 2) for i in range(4)}
