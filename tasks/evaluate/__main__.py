"""Stage ``evaluate@k``: scores of one iteration on dev and test. ``python -m tasks.evaluate --iteration 0``

Dev chooses, test reports. The policy's best decoding is chosen on dev, and dev is judged at it, for whatever has to be
decided (the iteration, early stop, the gate). Test is judged at the best decoding and at the loop's.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

import typer

from model import policy
from model.judges.panel import Panel
from model.sampling import Decoding, Sampled
from model.statistics import Interval
from model.voice import Voice
from tasks.common import curves, environment, judges, paths, runtime, schemas, tracking
from tasks.common.decoding import decoding_of
from tasks.common.engine import Workers
from tasks.common.evaluation import EvaluationSet, Judges, Row, audio_choice, decoding_columns, write_flac
from tasks.common.files import atomic_path, read_table, write_json, write_table
from tasks.common.params import Params
from tasks.common.policy_evaluation import Evaluated, Studio, StudioParts, evaluate_policy, per_thread
from tasks.common.scores import METRICS, sets_of, table_of, tables
from tasks.common.stage import stage
from tasks.common.tracking.client import connect
from tasks.evaluate.change import change
from tasks.evaluate.choice import choose


@stage
def main(iteration: Annotated[str, typer.Option(help='iteration to evaluate; "0" is the start policy')]) -> None:
    """Evaluate one iteration's policy on dev and test."""
    params, device = runtime.start()
    earlier = {} if iteration == "0" else {"start": "0", "previous": params.iteration(iteration).prev}
    title = f"evaluate@{iteration}"
    dev, test = (EvaluationSet.read(split, params) for split in ("dev", "test"))
    held_out = judges.load_held_out(params, device, dev.texts + test.texts)
    second = params.models.held_out_recognizer if held_out.recognizer is not None else None
    names = (str(paths.ar(iteration)), str(paths.NAR), params.models.codec, params.models.recognizer)
    parts = StudioParts(*names, params.prompt_frames, second, held_out.timbre)
    voice = Voice.load(paths.ar(iteration), paths.NAR, params.models.codec, device, params.prompt_frames)
    everyone = per_thread(Judges(Panel(params.models.recognizer, device), held_out))
    workers = Workers(params, parts, device, Studio(voice, everyone))
    tracking.read(iteration)  # what the results are logged to is found before minutes of judging
    connect()

    loop, settings, kept = decoding_of(params), params.evaluate, audio_kept(test, params)
    with workers:
        best, tried = choose(workers, dev, params, f"{title} dev")
        on_dev = evaluate_policy(workers, dev, best, settings.dev_draws, params, f"{title} dev")
        on_test = evaluate_policy(workers, test, best, settings.draws, params, f"{title} test", keep=kept)
        at_loop = on_test
        if loop != best:
            at_loop = evaluate_policy(
                workers, test, loop, settings.loop_draws, params, f"{title} test, loop", name="loop"
            )
    rows = {"dev": on_dev.rows, "test": on_test.rows if at_loop is on_test else on_test.rows + at_loop.rows}
    start = policy.load(paths.ar("0"), device) if earlier else None
    metrics: dict[str, Any] = {
        "iteration": iteration,
        "decoding": {"best": decoding_columns(best), "loop": decoding_columns(loop)},
        "choice": tried,
        "scores": scores(rows, earlier, params),
        "stuck": {
            name: {"samples": len(found.sampled), **stuck_counts(found.sampled)}
            for name, found in (("best", on_test), ("loop", at_loop))
        },
        "change": change(voice.policy, start, test, at_loop.sampled[: len(test)], params.seed),
        "environment": environment.describe(params, device),
    }
    with atomic_path(paths.audio(iteration)) as folder:
        folder.mkdir()
        for index in kept:
            write_flac(folder / f"{test.rows[index]['id']}.flac", on_test.waves[index], voice.sample_rate)
    write_table(paths.dev(iteration), rows["dev"], schemas.UTTERANCES)
    write_table(paths.utterances(iteration), rows["test"], schemas.UTTERANCES)
    sampled = sample_rows(test, at_loop, loop, policy.digest(paths.ar(iteration)))
    write_table(paths.test_samples(iteration), sampled, schemas.SAMPLES)
    write_json(paths.metrics(iteration), metrics)
    log(iteration, metrics)
    for line in summary(metrics):
        print(f"{title}: {line}")


def stuck_counts(sampled: Sequence[Sampled]) -> dict[str, int]:
    """Return how many samples were stuck in the end, and how many were drawn again because they had been."""
    return {"stuck": sum(s.stuck for s in sampled), "redrawn": sum(s.redrawn > 0 for s in sampled)}


def audio_kept(test: EvaluationSet, params: Params) -> list[int]:
    """Return positions of the texts whose audio the report plays: as many of each set."""
    chosen = []
    for name in ("recorded", "long"):
        own = [i for i, row in enumerate(test.rows) if row["set"] == name]
        chosen += [own[i] for i in audio_choice([test.rows[i] for i in own], params.evaluate.audio_samples)]
    return chosen


def scores(rows: dict[str, list[Row]], earlier: dict[str, str], params: Params) -> dict[str, Any]:
    """Return the tables of both splits: dev at the best decoding, test at the best and at the loop's.

    Args:
        earlier: iterations to compare with, ``{"start": "0", "previous": k}``.
    """
    resamples, seed = params.evaluate.bootstrap_samples, params.seed
    files = {"dev": paths.dev, "test": paths.utterances}
    before = {
        split: {f"versus_{name}": read_table(files[split](k), schemas.UTTERANCES) for name, k in earlier.items()}
        for split in files
    }
    return {
        split: {name: tables(rows[split], name, resamples, seed, before=before[split]) for name in decodings}
        for split, decodings in (("dev", ["best"]), ("test", ["best", "loop"]))
    }


def sample_rows(test: EvaluationSet, evaluated: Evaluated, decoding: Decoding, policy_digest: str) -> list[Row]:
    """Return the first draw of each recorded text as rows of ``schemas.SAMPLES``, to measure the gap on.

    Args:
        policy_digest: of the checkpoint that was sampled.
    """
    return [
        {
            **{name: row[name] for name in ("id", "text", "prompt_id", "draw", "seed", "finished")},
            **{name: getattr(sampled, name) for name in ("tokens", "logprobs", "behavior", "stop", "stuck", "redrawn")},
            **decoding_columns(decoding),
            "max_frames_per_character": decoding.max_frames_per_character,
            "policy": policy_digest,
        }
        for row, sampled in zip(evaluated.rows[: len(test)], evaluated.sampled[: len(test)], strict=True)
        if row["set"] == "recorded"
    ]


def log(iteration: str, metrics: dict[str, Any]) -> None:
    """Note results, data and audio in the iteration's MLflow run."""
    flat: dict[str, float] = {f"change/{name}": value for name, value in metrics["change"].items()}
    for split, decoding, name, table in every_table(metrics):
        kinds = ("all", "seen", "unseen") if (split, decoding) == ("test", "best") else ("all",)
        for kind in kinds:
            for metric, value in table.get(kind, {}).items():
                at = f"{split}/{decoding}/{name}/{kind}/{metric}"
                flat |= {at: value["value"], f"{at}_low": value["low"], f"{at}_high": value["high"]}
        flat |= {f"{split}/{decoding}/{name}/{count}": table[count] for count in ("failed", "cut_off")}
    with tracking.resume(tracking.read(iteration), iteration) as run:
        run.log_results(flat)
        run.log_dataset("train", paths.codes("train"), context="training")
        run.log_dataset("dev", paths.codes("dev"), context="choice")
        run.log_dataset("test", paths.codes("test"), context="evaluation")
        if iteration == "0":
            for row in curves.read(paths.run("0") / "nar_curve.csv"):
                run.log_metrics({f"sft_nar/{k}": v for k, v in row.items() if k != "step"}, int(row["step"]))
        run.set_tags(environment.tags("judged", metrics["environment"]))
        run.log_dict(metrics, "metrics.json")
        run.log_artifact(paths.dev(iteration))
        run.log_artifact(paths.utterances(iteration))
        run.log_artifact(paths.audio(iteration), "audio")


def every_table(metrics: dict[str, Any]) -> list[tuple[str, str, str, dict[str, Any]]]:
    """Return split, decoding, set and table of each of a metrics.json."""
    return [
        (split, decoding, name, table)
        for split, of_split in metrics["scores"].items()
        for decoding, of_decoding in of_split.items()
        for name, table in of_decoding.items()
    ]


def summary(metrics: dict[str, Any]) -> list[str]:
    """Return one line per set: the scores on test at the best decoding, and the difference to the start."""
    setting = ", ".join(f"{name} {value:g}" for name, value in metrics["decoding"]["best"].items())
    lines = []
    for name in sets_of(metrics):
        table = table_of(metrics, set=name)
        found = [f"{metric} {score['value']:.4f}" for metric, score in table["all"].items()]
        if versus := table.get("versus_start"):
            wer = METRICS["wer"].difference_text(Interval.from_json(versus["wer"]))
            found.append(f"WER against the start {wer} points")
        lines.append(f"test, {name}, best decoding ({setting}): {', '.join(found)}")
    return lines


if __name__ == "__main__":
    typer.run(main)
