"""All cases on all cores: a process for each, because the compiler keeps one of them busy."""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections.abc import Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from typing import NamedTuple

from fg_kernels.compiling.code import Compiled, compile_case
from fg_kernels.compiling.limits import broken_rules
from fg_kernels.errors import CompiledCodeError
from fg_kernels.triton.cases import ARCHITECTURES, CompileCase, compile_cases
from fg_kernels.triton.config_table import candidates_of, shipped, trying


class Task(NamedTuple):
    """A case by its name, which travels between processes as a kernel cannot.

    Attributes:
        key: of the case.
        arch: compute capability, 90 for 9.0.
        candidate: a kernel and the number of a candidate of the tuner, which stands in for the kernel's table.
    """

    key: str
    arch: int
    candidate: tuple[str, int] | None = None


class Finished(NamedTuple):
    """A compiled case: its figures and the rules that it breaks, or why it could not be measured."""

    task: Task
    compiled: Compiled | None
    complaints: tuple[str, ...]


def table_tasks(architectures: Iterable[int] = ARCHITECTURES, names: Iterable[str] = ()) -> list[Task]:
    """Every case of the table, or only those of the kernels in `names`."""
    wanted = set(names)
    return [
        Task(key, arch)
        for arch in architectures
        for key, case in _cases(arch).items()
        if not wanted or case.name.split("/")[0] in wanted
    ]


def candidate_tasks(architectures: Iterable[int]) -> list[Task]:
    """The cases that the tuner may try, without those that the table holds."""
    found: dict[tuple[str, int], Task] = {}
    for arch in architectures:
        shipped_keys = _cases(arch).keys()
        for kernel in shipped():
            for number in range(len(candidates_of(kernel))):
                for key in _cases(arch, (kernel, number)).keys() - shipped_keys:
                    found[key, arch] = Task(key, arch, (kernel, number))
    return [found[place] for place in sorted(found)]


def survey(todo: Iterable[Task], workers: int | None = None) -> Iterator[Finished]:
    """Compile and measure, in the order of `todo`; an interruption is for the parent alone to report."""
    context, deaf = multiprocessing.get_context("spawn"), (signal.SIGINT, signal.SIG_IGN)
    with ProcessPoolExecutor(workers or os.cpu_count(), context, signal.signal, deaf) as pool:
        yield from pool.map(finish, todo)


def finish(task: Task) -> Finished:
    """Compile and measure one case."""
    case = _cases(task.arch, task.candidate)[task.key]
    try:
        compiled = compile_case(case, task.arch)
    except CompiledCodeError as error:
        return Finished(task, None, (str(error),))
    return Finished(task, compiled, tuple(broken_rules(case, task.arch, compiled)))


def _cases(arch: int, candidate: tuple[str, int] | None = None) -> dict[str, CompileCase]:
    with trying({candidate[0]: candidates_of(candidate[0])[candidate[1]]} if candidate else {}):
        cases = list(compile_cases(arch))
    by_key = {case.key: case for case in cases}
    if len(by_key) < len(cases):
        twice = sorted({case.key for case in cases if sum(other.key == case.key for other in cases) > 1})
        raise CompiledCodeError(f"cases of sm_{arch} that bear the same name and blocks: {', '.join(twice)}")
    return by_key
