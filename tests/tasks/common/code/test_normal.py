"""A digest changes with what a module computes and with nothing else."""

from __future__ import annotations

import ast
import re
import shutil
import subprocess
import sys

import pytest

from tasks.common.code.normal import digest, reduce
from tests.conftest import REPOSITORY

MODULE = '''
"""A stage."""

from __future__ import annotations

import logging

from tasks.common import paths, tracking
from tasks.common.progress import Bar, track

# The usual.
SCALE = 2.0


def main(run: tracking.Run, waves):
    """Work."""
    print(f"{len(waves)} waves")
    logging.info("begin")
    with tracking.resume({}, "1") as own, Bar("waves", len(waves)) as bar:
        for wave in track(waves, "waves", 3):
            total = wave * SCALE  # louder
            bar.advance(note=f"at {total}")
            own.log_metrics({"total": total}, 1)
    run.set_tags({"a": "b"})
    return total
'''


def of(source: str) -> str:
    return digest(reduce(ast.parse(source)))


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("# The usual.", "# Something else."),
        ('"""A stage."""', '"""Another docstring."""'),
        ('    """Work."""\n', ""),
        ("SCALE = 2.0", "SCALE = (\n    2.0\n)"),
        ('"{len(waves)} waves"', '"waves: {len(waves):>4}"'),
        ('    print(f"{len(waves)} waves")\n', ""),
        ('    logging.info("begin")\n', "    logging.warning('begin: %d', len(waves))\n"),
        ('Bar("waves", len(waves))', 'Bar("speech", 2 * len(waves))'),
        ('note=f"at {total}"', "2"),
        ("            bar.advance", "            print(total)\n            bar.advance"),
        ('own.log_metrics({"total": total}, 1)', 'own.log_metrics({"sum": total, "scale": SCALE}, 2)'),
        ('            own.log_metrics({"total": total}, 1)\n', ""),
        ('    run.set_tags({"a": "b"})\n', ""),
        ("import logging\n", ""),
        ("import logging\n", "from tasks.common.tracking import Run\n"),
    ],
)
def test_an_edit_that_computes_nothing_changes_no_digest(before, after):
    assert before in MODULE
    assert of(MODULE.replace(before, after)) == of(MODULE)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("SCALE = 2.0", "SCALE = 2"),
        ("wave * SCALE", "SCALE * wave"),
        ("return total", "return -total"),
        ("for wave in track(waves,", "for wave in track(waves[1:],"),
        ("from tasks.common import paths, tracking", "from tasks.common import tracking"),
        # A log line that does work of its own.
        ('print(f"{len(waves)} waves")', 'print(f"{waves.pop()} waves")'),
        ('print(f"{len(waves)} waves")', "print(first := waves[0])"),
        ('run.set_tags({"a": "b"})', 'run.set_tags({"a": take(waves)})'),
        ("    run.set_tags(", "    waves.extend("),
        # A name that elsewhere stands for something else is not taken for a progress bar or a run.
        ("def main(run: tracking.Run, waves):", "def main(run, waves):"),
        ("            total = wave", "            bar = total = wave"),
        ("def main(run: tracking.Run, waves):", "def main(run: tracking.Run, waves):\n    run = waves"),
    ],
)
def test_an_edit_that_may_change_a_result_changes_the_digest(before, after):
    assert before in MODULE
    assert of(MODULE.replace(before, after)) != of(MODULE)


def test_a_progress_bar_or_a_run_may_be_added_or_taken_away():
    plain = re.sub(r" *(with|bar\.|own\.).*\n", "", MODULE).replace('track(waves, "waves", 3)', "waves")
    plain = "\n".join(line[4:] if line.startswith(" " * 8) else line for line in plain.split("\n"))
    assert "Bar(" not in plain and "\n    for wave in waves:" in plain
    assert of(plain) == of(MODULE)


def test_an_import_for_the_type_checker_only_does_not_count():
    importing = "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from model.policy import Policy\n"
    assert of(importing + "x = 1") == of("from typing import TYPE_CHECKING\nx = 1")


def test_a_constant_and_no_constant_differ():
    assert len({of(f"x = {value}") for value in ("None", "''", "0", "False", "0.0", "[]", "()", "b''")}) == 8


@pytest.mark.parametrize("version", ["3.11", "3.12"])
def test_every_supported_python_gives_the_same_digests(version):
    # The stage without its command line, which needs a package.
    script = (
        "from tasks.common.code.closure import Project; print(*map(Project().closure, ('tasks.align', 'tasks.report')))"
    )
    done = [
        subprocess.run([python, "-c", script], cwd=REPOSITORY, capture_output=True, text=True)
        for python in (sys.executable, shutil.which(f"python{version}") or "no-such-python")
        if shutil.which(python)
    ]
    if len(done) < 2 or done[1].returncode == 127:
        pytest.skip(f"python{version} is not installed")
    assert done[0].stdout == done[1].stdout, done[1].stderr


HEAD = "import logging\nimport sys\nfrom rich.console import Console\nfrom tasks.common.progress import Bar, track\n"


def added(line: str, head: str = HEAD) -> bool:
    """Return whether a line in a function changes the digest."""
    function = head + "def main(rows, sink, gen):\n"
    return of(f"{function}    {line}\n    return rows") != of(f"{function}    return rows")


@pytest.mark.parametrize(
    "line",
    [
        "print(rows, file=sys.stderr, flush=True)",
        "logging.getLogger('a').info(rows[0])",
        "Console(stderr=True).print(rows)",
        "print(f'{rows.mean():.1f} {rows.loss.item()} {max(len(rows), 2)} {rows.shape[0]:>{len(rows)}}')",
        "print({**rows, 'a': 1}, -rows, rows if sink else None)",
    ],
)
def test_a_log_line_of_plain_values_does_not_count(line):
    assert not added(line)


@pytest.mark.parametrize(
    "line",
    [
        "print(rows, file=sink)",
        "print(rows, **sink)",
        "sink.print(rows)",
        "Console(file=sink).print(rows)",
        "print(*gen)",
        "print(', '.join(gen))",
        "print(sum(gen), max(gen))",
        "print([row for row in gen])",
        "print(f'{rows.pop()}')",
        "logging.getLogger(rows.pop()).info('a')",
        "print(print(rows, file=sink))",
    ],
)
def test_a_log_line_that_may_do_work_counts(line):
    assert added(line)


@pytest.mark.parametrize(
    ("name", "binding"),
    [
        ("print", "from model.files import write as print"),
        ("print", "def print(row): rows.append(row)"),
        ("print", "from model.files import *"),
        ("print", "try: pass\nexcept OSError as print: pass"),
        ("print", "def other(print): pass"),
        ("logger", "logger = Writer()"),
        ("logger.info", "import model.logger as logger"),
        ("logger.info", "logger = logging.getLogger('a')\nlogger = sink"),
        ("logging.info", "from . import logging"),
        ("Bar", "from model.bars import Bar"),
        ("Bar", "class Bar: pass"),
        ("run.log", "from model import run"),
    ],
)
def test_a_name_bound_to_something_else_is_not_trusted(name, binding):
    assert added(f"{name}(rows)", f"{HEAD}{binding}\n")


def test_a_logger_of_the_module_is_trusted():
    assert not added("logger.info(rows)", HEAD + "logger = logging.getLogger(__name__)\n")
    assert not added("console.print(rows)", HEAD + "console = Console()\n")


def test_the_work_of_a_log_line_counts_with_what_it_depends_on():
    lines = [f"def main(rows, a):\n    print(rows.pop() if {test} else 0)" for test in ("a", "not a")]
    assert of(lines[0]) != of(lines[1])


def test_an_import_of_something_neutral_counts_where_its_name_has_another_meaning():
    before = "from model.bars import track\n"
    assert of(before) != of(before + "from tasks.common.progress import track\n")


@pytest.mark.parametrize("arguments", ["title(), 3", "'a', total=take()", "*take()"])
def test_work_in_the_arguments_of_a_progress_bar_counts(arguments):
    loop = "for row in {}:\n    use(row)"
    assert of(HEAD + loop.format(f"track(rows, {arguments})")) != of(HEAD + loop.format("rows"))


def test_a_docstring_counts_where_it_is_read():
    assert of('"""One."""\nhelp(__doc__)') != of('"""Two."""\nhelp(__doc__)')


def test_a_relative_import_is_not_taken_for_a_neutral_module():
    assert of("from .logging import info") != of("")
