"""The one test command: `hatch run test [SUITE or PATH …] [pytest arguments …]`.

A suite is the tests of one distribution, run by an interpreter that sees only that distribution and the siblings it
declares, or `repository`, the tests in `tests/` that cross distributions. Leading words that name a suite or a path
select; everything from the first option on is handed to pytest:

    hatch run test
    hatch run test fg-config
    hatch run test packages/fg-config/tests/test_merge.py -k aliases -x
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
import time
import xml.etree.ElementTree as ElementTree
from collections.abc import Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field, replace
from pathlib import Path

from tools.environment import require_complete_environment
from tools.isolation import isolated_python
from tools.workspace import Distribution, Workspace, counted, load_arrows, load_workspace

_REPOSITORY = "repository"
_PROGRESS_SECONDS = 15.0
_SUITE_LIMIT_SECONDS = 1200.0
_NO_TESTS_COLLECTED = 5


@dataclass(frozen=True, kw_only=True, slots=True)
class Suite:
    """Tests that run in one process."""

    name: str
    paths: tuple[Path, ...]
    distribution: Distribution | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Result:
    """How one suite ended."""

    suite: Suite
    exit_code: int
    seconds: float
    counts: dict[str, int] = field(default_factory=dict)
    log: Path | None = None


def all_suites(workspace: Workspace) -> list[Suite]:
    """Every suite, those with most tests first: one that takes long must not start last."""
    suites = [Suite(name=_REPOSITORY, paths=(workspace.root / "tests",))]
    suites += [
        Suite(name=each.name, paths=(each.folder / "tests",), distribution=each) for each in workspace.distributions
    ]
    return sorted(suites, key=lambda suite: -_size(suite))


def _size(suite: Suite) -> int:
    return sum(file.stat().st_size for path in suite.paths for file in path.rglob("*.py"))


def select(suites: Sequence[Suite], words: Sequence[str], root: Path) -> list[Suite]:
    """The suites that `words` name; a path narrows its suite.

    Raises:
        SystemExit: a word names neither a suite nor a path inside one.
    """
    if not words:
        return list(suites)
    chosen: dict[str, Suite] = {}
    for word in words:
        suite = _suite_of(word, suites, root)
        earlier = chosen.get(suite.name)
        chosen[suite.name] = replace(suite, paths=earlier.paths + suite.paths) if earlier else suite
    return list(chosen.values())


def _suite_of(word: str, suites: Sequence[Suite], root: Path) -> Suite:
    file_name = word.partition("::")[0]
    for suite in suites:
        if word == suite.name:
            return suite
        if suite.distribution and (root / file_name).resolve() == suite.distribution.folder:
            return suite
        if (root / file_name).resolve().is_relative_to(suite.paths[0]) and (root / file_name).exists():
            return replace(suite, paths=(root / word,))
    known = ", ".join(suite.name for suite in suites)
    raise SystemExit(f"{word!r} is neither a suite nor a test path. Suites: {known}. Options of pytest come last.")


def split_arguments(argv: Sequence[str]) -> tuple[list[str], list[str]]:
    """Selecting words, then what goes to pytest unchanged."""
    first_option = next((index for index, word in enumerate(argv) if word.startswith("-")), len(argv))
    return list(argv[:first_option]), list(argv[first_option:])


class Runner:
    """Runs suites side by side, or one with its output on the terminal."""

    def __init__(self, workspace: Workspace, scratch: Path, pytest_arguments: Sequence[str]) -> None:
        self._workspace = workspace
        self._scratch = scratch
        self._arguments = list(pytest_arguments)
        self._arrows = load_arrows(workspace)

    def run(self, suite: Suite, *, quiet: bool) -> Result:
        """Run one suite; with `quiet` its output goes to `log_of(suite)`."""
        started = time.monotonic()
        report = self._scratch / f"{suite.name}.xml"
        command = [*self._interpreter(suite), "-m", "pytest", f"--junitxml={report}", *map(str, suite.paths)]
        log = self.log_of(suite) if quiet else None
        exit_code = _execute(
            [*command, *(["-q", "--tb=short"] if quiet else []), *self._arguments], self._workspace.root, log
        )
        if exit_code == _NO_TESTS_COLLECTED and self._arguments:
            exit_code = 0  # -k or -m may leave a suite without tests
        seconds = time.monotonic() - started
        return Result(suite=suite, exit_code=exit_code, seconds=seconds, counts=_read_counts(report), log=log)

    def log_of(self, suite: Suite) -> Path:
        return self._scratch / f"{suite.name}.log"

    def _interpreter(self, suite: Suite) -> list[str]:
        if suite.distribution is None:
            return [sys.executable]
        arrows = self._arrows.get(suite.name)
        visible = self._workspace.visible(suite.name, arrows.dispatches_to if arrows else ())
        target = self._scratch / "environments" / suite.name
        python = isolated_python(target, visible=visible, workspace_names=self._workspace.names)
        return [str(python), "-P"]  # -P: the working directory is not importable

    def run_side_by_side(self, suites: Sequence[Suite], jobs: int) -> list[Result]:
        """Run all suites, `jobs` at a time, and report each as it ends."""
        results: list[Result] = []
        started: dict[str, float] = {}
        with ThreadPoolExecutor(jobs) as pool:
            pending = {pool.submit(self._run_noting_start, suite, started): suite for suite in suites}
            while pending:
                done, _ = wait(pending, timeout=_PROGRESS_SECONDS, return_when=FIRST_COMPLETED)
                results += [_report(future, pending.pop(future)) for future in done]
                if not done:
                    self._show_progress([suite for suite in pending.values() if suite.name in started], started)
        return results

    def _run_noting_start(self, suite: Suite, started: dict[str, float]) -> Result:
        started[suite.name] = time.monotonic()
        return self.run(suite, quiet=True)

    def _show_progress(self, running: Sequence[Suite], started: dict[str, float]) -> None:
        now = time.monotonic()
        states = [f"{each.name} {_percent(self.log_of(each))}, {now - started[each.name]:.0f} s" for each in running]
        print(f"  …    {'; '.join(states)}", flush=True)


def _execute(command: list[str], root: Path, log: Path | None) -> int:
    # Two OpenMP threads per process on two busy cores are several times slower than one.
    environment = {"OMP_NUM_THREADS": "1"} | os.environ
    environment.pop("PYTHONPATH", None)
    environment["PATH"] = f"{Path(command[0]).parent}{os.pathsep}{environment['PATH']}"
    if log is None:
        return subprocess.run(command, cwd=root, env=environment, check=False).returncode
    with log.open("wb") as output:
        process = subprocess.Popen(command, cwd=root, env=environment, stdout=output, stderr=subprocess.STDOUT)
        try:
            return process.wait(_SUITE_LIMIT_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            output.write(f"\nstopped: the suite ran longer than {_SUITE_LIMIT_SECONDS:.0f} s\n".encode())
            return process.wait() or 1


def _percent(log: Path) -> str:
    shown = re.findall(r"\[ *(\d+%)\]", log.read_text(encoding="utf-8", errors="replace")) if log.exists() else []
    return shown[-1] if shown else "starting"


def _read_counts(report: Path) -> dict[str, int]:
    if not report.exists():
        return {}
    totals = dict.fromkeys(("tests", "failures", "errors", "skipped"), 0)
    for suite in ElementTree.parse(report).getroot().iter("testsuite"):
        for key in totals:
            totals[key] += int(suite.get(key, 0))
    return totals


def _describe(counts: dict[str, int]) -> str:
    failed = counts.get("failures", 0) + counts.get("errors", 0)
    skipped = counts.get("skipped", 0)
    passed = counts.get("tests", 0) - failed - skipped
    parts = [(passed, "passed"), (failed, "failed"), (skipped, "skipped")]
    return ", ".join(f"{number} {word}" for number, word in parts if number or word == "passed")


def _report(future: Future[Result], suite: Suite) -> Result:
    result = future.result()
    state = "FAIL" if result.exit_code else "ok  "
    print(f"  {state} {suite.name:16} {_describe(result.counts):32} {result.seconds:6.1f} s", flush=True)
    text = result.log.read_text(encoding="utf-8", errors="replace") if result.log else ""
    if result.exit_code:
        print(text, flush=True)
    else:
        print(
            "".join(f"       {line}\n" for line in text.splitlines() if line.startswith("SKIPPED")), end="", flush=True
        )
    return result


def _summarise(results: Sequence[Result], seconds: float) -> int:
    totals: dict[str, int] = {}
    for result in results:
        for key, number in result.counts.items():
            totals[key] = totals.get(key, 0) + number
    failed = [result.suite.name for result in results if result.exit_code]
    verdict = f"FAILED: {', '.join(failed)}" if failed else "all suites passed"
    print(f"{counted(len(results), 'suite')}, {_describe(totals)} in {seconds:.0f} s: {verdict}", flush=True)
    return 1 if failed else 0


def main(argv: Sequence[str]) -> int:
    """Run the selected suites; 0 if every one passed."""
    if argv and argv[0] in ("-h", "--help"):
        print(__doc__)
        return 0
    started = time.monotonic()
    workspace = load_workspace()
    require_complete_environment(workspace)
    words, pytest_arguments = split_arguments(argv)
    suites = select(all_suites(workspace), words, workspace.root)
    jobs = min(2, os.cpu_count() or 1, len(suites))
    print(f"{counted(len(suites), 'suite')}, {jobs} at a time: {', '.join(suite.name for suite in suites)}", flush=True)
    with tempfile.TemporaryDirectory(prefix="forgather-test-") as scratch:
        runner = Runner(workspace, Path(scratch), pytest_arguments)
        alone = len(suites) == 1
        results = [runner.run(suites[0], quiet=False)] if alone else runner.run_side_by_side(suites, jobs)
    return _summarise(results, time.monotonic() - started)


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except KeyboardInterrupt:  # the suites share the terminal and got the same signal
        sys.exit("interrupted")
