"""Stage ``evaluate@k``: scores of one iteration on the test split. ``python -m tasks.evaluate --iteration 0``"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

import typer

from model import policy
from model.judges.panel import Panel
from model.voice import Utterance, Voice
from tasks.common import curves, environment, judges, paths, runtime, schemas, tracking
from tasks.common.evaluation import EvaluationSet, audio_choice, evaluate_policy, write_flac
from tasks.common.files import atomic_path, read_table, write_json, write_table
from tasks.common.params import Params
from tasks.common.scores import by_speaker_kind, compare, to_json, unspoken
from tasks.common.stage import stage
from tasks.common.utterances import Utterances


@stage
def main(iteration: Annotated[str, typer.Option(help='iteration to evaluate; "0" is the SFT policy')]) -> None:
    """Evaluate one iteration's policy on the test split."""
    params, device = runtime.start()
    if iteration != "0":
        params.iteration(iteration)
    rows = Utterances.read("test")
    voice = Voice.load(paths.ar(iteration), paths.NAR, params.models.codec, device, params.prompt_frames)
    test = EvaluationSet(rows, params)
    panel = Panel(params.models.recognizer, device)
    others = judges.load_held_out(params, device, list(rows.texts))
    table, spoken = evaluate_policy(voice, test, panel, others, params, f"evaluate@{iteration}")
    resamples = params.evaluate.bootstrap_samples
    scores = by_speaker_kind(table, resamples, params.seed)
    metrics: dict[str, Any] = {
        "iteration": iteration,
        "utterances": len(table),
        "failed": sum(map(unspoken, table)),
        "cut_off": sum(not u.sampled.finished for u in spoken),
        **{kind: to_json(part) for kind, part in scores.items()},
        "environment": environment.describe(params, device),
    }
    if iteration != "0":
        previous = params.iteration(iteration).prev
        for name, other in (("versus_sft", "0"), ("versus_previous", previous)):
            earlier = read_table(paths.utterances(other), schemas.UTTERANCES)
            metrics[name] = to_json(compare(earlier, table, resamples, params.seed))
    with atomic_path(paths.audio(iteration)) as folder:
        folder.mkdir()
        for index in audio_choice(rows, params.evaluate.audio_samples):
            write_flac(folder / f"{rows.ids[index]}.flac", spoken[index].wave, voice.sample_rate)
    write_table(paths.utterances(iteration), table, schemas.UTTERANCES)
    sampled = sample_rows(test, spoken, params, policy.digest(paths.ar(iteration)))
    write_table(paths.test_samples(iteration), sampled, schemas.SAMPLES)
    write_json(paths.metrics(iteration), metrics)
    log(iteration, metrics)
    print(f"evaluate@{iteration}: " + ", ".join(f"{name} {score:.4f}" for name, score in scores["all"].items()))


def sample_rows(
    test: EvaluationSet, spoken: Sequence[Utterance], params: Params, policy_digest: str
) -> list[dict[str, Any]]:
    """Sampled tokens as rows of ``schemas.SAMPLES``, one per utterance in the test set's order, to measure the gap on.

    Args:
        policy_digest: of the checkpoint that was sampled.
    """
    return [
        {
            "id": row["id"],
            "text": row["text"],
            "prompt_id": prompt["id"],
            "draw": 0,
            "seed": seed,
            "tokens": utterance.sampled.tokens,
            "logprobs": utterance.sampled.logprobs,
            "finished": utterance.sampled.finished,
            "temperature": params.decoding.temperature,
            "top_k": params.decoding.top_k,
            "top_p": params.decoding.top_p,
            "max_frames_per_character": params.decoding.max_frames_per_character,
            "policy": policy_digest,
        }
        for row, prompt, seed, utterance in zip(test.rows, test.prompt_rows, test.seeds, spoken, strict=True)
    ]


def log(iteration: str, metrics: dict[str, Any]) -> None:
    """Note results, data and audio in the iteration's MLflow run."""
    with tracking.resume(tracking.read(iteration), iteration) as run:
        flat = {
            f"{kind}/{metric}{suffix}": value[key]
            for kind in ("all", "seen", "unseen")
            for metric, value in metrics.get(kind, {}).items()
            for key, suffix in (("value", ""), ("low", "_low"), ("high", "_high"))
        }
        run.log_results({**flat, "failed": metrics["failed"], "cut_off": metrics["cut_off"]})
        run.log_dataset("train", paths.codes("train"), context="training")
        run.log_dataset("test", paths.codes("test"), context="evaluation")
        if iteration == "0":
            for row in curves.read(paths.run("0") / "nar_curve.csv"):
                run.log_metrics({f"sft_nar/{k}": v for k, v in row.items() if k != "step"}, int(row["step"]))
        run.set_tags(environment.tags("judged", metrics["environment"]))
        run.log_dict(metrics, "metrics.json")
        run.log_artifact(paths.utterances(iteration))
        run.log_artifact(paths.audio(iteration), "audio")


if __name__ == "__main__":
    typer.run(main)
