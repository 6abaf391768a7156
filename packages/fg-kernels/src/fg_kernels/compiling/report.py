"""The command that compiles every kernel: progress, a table, what breaks the limits, and storing what improved."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict
from typing import Any, NamedTuple, TypeAlias

from fg_kernels.compiling.code import Compiled
from fg_kernels.compiling.limits import findings, improved, read_limits, table_path, write_limits
from fg_kernels.compiling.optimizers import steps_of, traffic_text
from fg_kernels.compiling.survey import Finished, survey, table_tasks
from fg_kernels.errors import BackendError, CompiledCodeError, check_option
from fg_kernels.measuring import files
from fg_kernels.triton.cases import ARCHITECTURES

Measured: TypeAlias = Mapping[tuple[str, int], Compiled]


class Report(NamedTuple):
    """What came out of compiling.

    Attributes:
        triton: the version that compiled.
        measured: figures by (case, architecture).
        complaints: broken rules and exceeded limits, one line each.
        gated: the table of limits holds for this version of triton; otherwise it was not compared.
    """

    triton: str
    measured: Measured
    complaints: list[str]
    gated: bool


def compile_report(
    architectures: Iterable[int] = ARCHITECTURES,
    names: Iterable[str] = (),
    *,
    update: bool = False,
    progress: Callable[[int, int, Finished], None] | None = None,
) -> Report:
    """Compile the kernels in `names` (all by default), and hold them against the limits.

    Args:
        architectures: compute capabilities, 90 for 9.0.
        names: of kernels, as the table of limits spells them up to the first "/".
        update: store what improved; only if everything was compiled, and nothing broke a rule or got worse.
        progress: called after each case with the number finished, the number in all, and the case.

    Raises:
        BackendError: triton is not installed, or its interpreter replaces the compiler.
        UnknownOptionError: an architecture or a kernel that is not compiled.
        CompiledCodeError: the table cannot be updated.
    """
    version, architectures, names = _version(), tuple(dict.fromkeys(architectures)), tuple(names)
    _check_selection(architectures, names)
    todo = table_tasks(architectures, names)
    measured, broken = dict[tuple[str, int], Compiled](), list[str]()
    for count, finished in enumerate(survey(todo), start=1):
        key, arch, _ = finished.task
        broken += [f"{key} sm_{arch}: {complaint}" for complaint in finished.complaints]
        if finished.compiled is not None:
            measured[key, arch] = finished.compiled
        if progress:
            progress(count, len(todo), finished)
    if update:
        _update(measured, broken, version, complete=not names and set(architectures) == set(ARCHITECTURES))
    return _compared(version, measured, broken, complete=len(measured) == len(table_tasks()))


def rows_of_report(report: Report) -> Iterator[dict[str, Any]]:
    """The figures as one flat mapping for each case, for JSON and tables."""
    for (key, arch), compiled in report.measured.items():
        yield {"case": key, "arch": arch, "bytes": compiled.bytes, **asdict(compiled)}


def as_text(report: Report) -> str:
    """The figures as a table, one line for each case and architecture."""
    heading = f"{'case':<60} {'sm':>4} {'regs':>5} {'shared':>7} {'instr/el':>9} {'read/el':>8} {'written/el':>10}"
    lines = [heading]
    for (key, arch), figures in sorted(report.measured.items()):
        lines.append(
            f"{key:<60} {arch:>4} {figures.registers:>5} {figures.shared:>7} {figures.instructions:>9.2f} "
            f"{figures.read:>8.4f} {figures.written:>10.4f}"
        )
    lines += _steps_text(report.measured)
    if not report.gated:
        lines.append(f"compiled by triton {report.triton}; the limits hold for another version and were not compared")
    return "\n".join([*lines, *report.complaints])


def _steps_text(measured: Measured) -> Iterator[str]:
    """Of each architecture the optimizers all of whose launches were compiled."""
    for arch in sorted({arch for _, arch in measured}):
        if steps := steps_of({key.split()[0]: figures for (key, at), figures in measured.items() if at == arch}):
            yield f"\nsm_{arch}\n{traffic_text(steps)}"


def as_json(report: Report) -> str:
    """The whole report."""
    content = {"triton": report.triton, "complaints": report.complaints, "cases": list(rows_of_report(report))}
    return files.as_json(content)


def _compared(version: str, measured: Measured, broken: list[str], *, complete: bool) -> Report:
    limits = read_limits(table_path())
    if version != limits.triton:
        return Report(version, measured, broken, gated=False)
    if not complete:
        limits = limits._replace(rows={place: limit for place, limit in limits.rows.items() if place in measured})
    return Report(version, measured, broken + findings(measured, limits), gated=True)


def _update(measured: Measured, broken: list[str], version: str, *, complete: bool) -> None:
    if not complete:
        raise CompiledCodeError("the limits are updated from all kernels and architectures; leave out the selection")
    if broken:
        raise CompiledCodeError("the limits are not updated: " + "; ".join(broken))
    write_limits(table_path(), improved(measured, read_limits(table_path()), version))


def _version() -> str:
    if os.environ.get("TRITON_INTERPRET") == "1":
        raise BackendError("TRITON_INTERPRET=1 puts an interpreter in place of the compiler; unset it")
    try:
        import triton
    except ImportError as error:
        raise BackendError("compiling kernels needs triton: pip install 'fg-kernels[triton]'") from error
    return triton.__version__


def _check_selection(architectures: Iterable[int], names: Iterable[str]) -> None:
    for arch in architectures:
        check_option("arch", str(arch), map(str, ARCHITECTURES))
    kernels = {task.key.split("/")[0].split()[0] for task in table_tasks(ARCHITECTURES[:1])} if names else set()
    for name in names:
        check_option("kernel", name, kernels)


def _main() -> int:
    """Compile everything and store what improved; 1 if a rule or a limit is broken."""
    try:
        report = compile_report(update=True, progress=_show)
    except CompiledCodeError as error:
        sys.stderr.write(f"\n{error}\n")
        return 1
    sys.stdout.write(f"\r{len(report.measured)} cases keep the limits in {table_path()}\n")
    return 0


def _show(done: int, total: int, finished: Finished) -> None:
    sys.stderr.write(f"\r{done} of {total} {finished.task.key:<70.70} sm_{finished.task.arch:<4}")


if __name__ == "__main__":
    sys.exit(_main())
