"""``speechalign``: one command for people.

Everything heavy is imported inside the subcommands, so that ``--help`` takes less than a second.
"""

from __future__ import annotations

import contextlib
import errno
import importlib
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated, Any

import typer

from flows import PROJECT, stopping
from model.errors import SpeechAlignError
from tasks.common.stage import one_message

app = typer.Typer(no_args_is_help=True, add_completion=False, rich_markup_mode="rich")

Jobs = Annotated[int, typer.Option(min=1, help="Stages at once; they share compute.threads.")]
Retries = Annotated[int, typer.Option(min=0, help="How often a failed stage is tried again.")]
Timeout = Annotated[float | None, typer.Option(min=1.0, help="Seconds after which a stage is killed and has failed.")]

LOOP, USE, SETTINGS = "Run", "Use", "Settings"  # the panels of --help
# The command of another package: it parses its own arguments, --help among them.
FORWARD = {"ignore_unknown_options": True, "allow_extra_args": True, "help_option_names": []}


@app.callback()
def _about() -> None:
    """Align a codec language model for speech to preferences: from a corpus to registered policies.

    Start with [bold]speechalign run[/bold], in the repository's top folder.
    Settings are in params.yaml, details in docs/flows.md.
    """


@app.command(rich_help_panel=LOOP)
def run(
    jobs: Jobs = 2,
    early_stop: Annotated[
        bool, typer.Option(help="Leave out iterations that build on one whose test WER is significantly worse.")
    ] = True,
    retries: Retries = 0,
    timeout: Timeout = None,
    targets: Annotated[
        list[str] | None,
        typer.Option(help="Only this stage (or every stage of this name) and what it depends on; may be repeated."),
    ] = None,
    again: Annotated[
        list[str] | None,
        typer.Option(help="Run this stage even if it is up to date (prepare: the corpus has grown); may be repeated."),
    ] = None,
) -> None:
    """Run the loop: corpus, policies, evaluation, report, registry.

    The first run takes about 9 minutes on two cores.
    Later runs do only what has changed; with no change they take seconds.

    Writes data/, runs/ (policies, pairs, metrics), reports/index.html,
    mlflow.db and mlartifacts/ (MLflow's runs and registered policies).

    \b
    Examples:
      speechalign run
      speechalign run --targets evaluate@1 --targets sft_nar
      speechalign run --no-early-stop --jobs 1 --retries 1
    """
    with _command():
        from flows import results, tracked
        from flows.current import current

        graph = current()
        chosen = graph.closure(targets or graph.stages)
        graph.named(again or [])
        if (
            graph.up_to_date(chosen) and not again
        ):  # said without Prefect, whose temporary server takes most of the time
            print(f"nothing to do: all {len(chosen)} stages are up to date")
            tracked.deliver(print)
            results.show(results.rows(graph))
            return

        from flows.loop import speechalign_loop

        _finish(speechalign_loop, jobs, retries, timeout, early_stop=early_stop, targets=targets, again=again)


@app.command(rich_help_panel=LOOP)
def evaluate(
    jobs: Jobs = 2,
    retries: Retries = 0,
    timeout: Timeout = None,
    iterations: Annotated[
        list[str] | None, typer.Option(help="Only this iteration, without the report; may be repeated.")
    ] = None,
) -> None:
    """Judge the policies as they are and write the report; nothing is trained.

    Takes minutes. Writes runs/*/metrics.json and reports/index.html.

    \b
    Examples:
      speechalign evaluate
      speechalign evaluate --iterations 2
    """
    with _command():
        from flows.current import current
        from flows.evaluate import judging, speechalign_evaluate

        judging(current(), iterations)  # refuses before Prefect starts its temporary server
        _finish(speechalign_evaluate, jobs, retries, timeout, iterations=iterations)


@app.command(rich_help_panel=LOOP)
def study(
    jobs: Annotated[int, typer.Option(min=1, help="Arms at once; they share compute.threads.")] = 2,
    retries: Retries = 0,
    timeout: Timeout = None,
    targets: Annotated[
        list[str] | None,
        typer.Option(help="Only this arm on this seed (arm@rejection-17), and what it depends on; may be repeated."),
    ] = None,
) -> None:
    """Run the experiments: the arms of study/params.yaml, each on several seeds.

    Each seed has a loop of its own, so nothing else needs to have run.
    The loops and controls on three seeds take about an hour on two cores, the rest half an hour more.
    The most important come first, and a stopped study goes on.
    Writes study/results/, reports/study.md and reports/study.json.

    \b
    Examples:
      speechalign study
      speechalign study --targets loop@17 --targets arm@rejection-17
    """
    with _command():
        from flows.study import choose, speechalign_study, tables

        graph, chosen = choose(targets)
        if graph.up_to_date(chosen):
            print(f"nothing to do: all {len(chosen)} stages of the study are up to date")
            print(*tables(graph, chosen).values(), sep="\n")
            return
        _finish(speechalign_study, jobs, retries, timeout, targets=targets)


@app.command(rich_help_panel=USE, context_settings=FORWARD)
def say(context: typer.Context) -> None:
    """Say a text in the voice of a recording, with the registered policy."""
    _forward("tasks.register.say", context)


@app.command(rich_help_panel=USE, context_settings=FORWARD)
def serve(context: typer.Context) -> None:
    """Serve the registered policy as speech over HTTP."""
    _forward("serving.__main__", context)


@app.command(rich_help_panel=USE, context_settings=FORWARD)
def votes(context: typer.Context) -> None:
    """Ask people: a blind listening test of two folders or of the loop's samples, and what their votes show."""
    _forward("tasks.prefer.votes.__main__", context, anywhere=True)


@app.command(rich_help_panel=USE, context_settings=FORWARD)
def gate(context: typer.Context) -> None:
    """Compare folders of audio: is system B better than A? Needs no training."""
    _forward("tasks.gate.__main__", context, anywhere=True)


@app.command(rich_help_panel=SETTINGS, context_settings=FORWARD)
def layout(context: typer.Context) -> None:
    """Show how models write text and codes as tokens; check a checkpoint against a layout."""
    _forward("tasks.policy.layouts", context)


@app.command(rich_help_panel=SETTINGS, context_settings=FORWARD)
def profile(context: typer.Context) -> None:
    """Show or use the settings for another corpus or machine."""
    _forward("profiles.__main__", context)


@app.command(rich_help_panel=SETTINGS, context_settings=FORWARD)
def plan(context: typer.Context) -> None:
    """Print what a run would take: tokens, steps, pairs, memory, disk and time. Starts nothing."""
    _forward("profiles.plan", context)


def _forward(module: str, context: typer.Context, anywhere: bool = False) -> None:
    """Call another package's command with the arguments as they came; ``anywhere``: outside the repository too."""
    if "--help" not in context.args and context.args and not anywhere:
        with one_message():
            _check_folder()
    stopping.alone()
    command = importlib.import_module(module)
    own = getattr(command, "app", None)
    if own is None:
        own = typer.Typer(add_completion=False)
        own.command()(command.main)
    own(args=context.args, prog_name=context.command_path)


@contextlib.contextmanager
def _command() -> Iterator[None]:
    """One message for an error or Ctrl-C, in the repository's top folder and with usable settings only."""
    with one_message():
        _check_folder()
        try:
            from tasks.common import params

            params.load()  # DVC deletes a stage's outputs before the stage could refuse its settings
            yield
        except KeyboardInterrupt:
            if stopping.installed():
                stopping.leave()
            print(stopping.MESSAGE, file=sys.stderr)
            raise typer.Exit(stopping.STATUS) from None


def _check_folder() -> None:
    missing = [name for name in ("dvc.yaml", "params.yaml") if not Path(name).is_file()]
    if missing:
        raise SpeechAlignError(
            f"there is no {' and no '.join(missing)} in {Path.cwd()}; run speechalign in the repository's "
            f"top folder: cd {PROJECT}"
        )


def _finish(flow: Callable[..., Any], jobs: int, retries: int, timeout: float | None, **options: object) -> None:
    from flows import server

    with server.api() as address:
        try:
            state = flow(jobs=jobs, retries=retries, stage_timeout_seconds=timeout, **options, return_state=True)
        except Exception as error:
            if not _of_prefect(error):
                raise
            raise SpeechAlignError(
                f"the Prefect server at {address} failed: {error or type(error).__name__}. Finished stages are kept; "
                "run again once the server answers, or unset PREFECT_API_URL"
            ) from error
    if not state.is_completed():
        raise SpeechAlignError(state.message or f"the flow ended as {state.name}")


def _of_prefect(error: BaseException | None) -> bool:
    """Return whether an exception, or one behind it, is of Prefect or its connection."""
    while error is not None:
        if type(error).__module__.partition(".")[0] in ("httpx", "httpcore", "prefect"):
            return True
        error = error.__cause__ or error.__context__
    return False


def main() -> None:
    """Run the command line."""
    stopping.install()
    try:
        app(prog_name="speechalign")
    except BaseException as error:
        if isinstance(error, OSError) and error.errno == errno.EIO:  # of a terminal that is gone: its signal follows
            with contextlib.suppress(KeyboardInterrupt):
                time.sleep(0.5)
        if stopping.begun():  # wherever Ctrl-C arrived: what it interrupted may have failed in its own way
            stopping.leave(polite=isinstance(error, SystemExit))
        stopping.finish()
        raise


if __name__ == "__main__":
    main()
