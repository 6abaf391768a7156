"""Numbers that may only get better.

Up to its goal a number is free. Beyond it, what `ratchets.json` records is the limit: a long file may not grow, a
count may not rise, nothing new may pass a goal. `hatch run check --update` stores what improved; raising a limit is
an edit by hand that a reviewer sees.
"""

from __future__ import annotations

import ast
import io
import json
import statistics
import tokenize
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path

from tools.workspace import Workspace

FILE_LINES_GOAL = 400
FUNCTION_LINES_GOAL = 60
FUNCTION_P95_GOAL = 50
FUNCTION_MEDIAN_GOAL = 10
_SUPPRESSIONS = ("type: ignore", "pyrefly: ignore", "pyright: ignore")
_BROAD = ("Exception", "BaseException")


@dataclass(slots=True)
class Numbers:
    """What is limited: the content of `ratchets.json`, and the same measured now."""

    long_files: dict[str, int] = field(default_factory=dict)
    """Lines of each file beyond the goal."""
    long_functions: dict[str, int] = field(default_factory=dict)
    """Lines of each function beyond the goal, docstrings not counted."""
    type_suppressions: int = 0
    broad_excepts: int = 0


def check_ratchets(workspace: Workspace) -> list[str]:
    """Every number that is worse than its goal and its recorded limit."""
    (now, function_lines), limits = measure(workspace), _read_limits(workspace)
    findings = _over(now.long_files, limits.long_files, FILE_LINES_GOAL)
    findings += _over(now.long_functions, limits.long_functions, FUNCTION_LINES_GOAL)
    for name, value, limit in (
        ("suppressed type errors", now.type_suppressions, limits.type_suppressions),
        ("broad excepts", now.broad_excepts, limits.broad_excepts),
    ):
        if value > limit:
            findings.append(f"{name}: {value}, at most {limit} allowed")
    return findings + _distribution_findings(function_lines)


def update(workspace: Workspace) -> None:
    """Store the numbers that improved; never one that got worse."""
    (now, _), limits = measure(workspace), _read_limits(workspace)
    better = Numbers(
        long_files=_lowered(now.long_files, limits.long_files),
        long_functions=_lowered(now.long_functions, limits.long_functions),
        type_suppressions=min(now.type_suppressions, limits.type_suppressions),
        broad_excepts=min(now.broad_excepts, limits.broad_excepts),
    )
    _limits_path(workspace).write_text(json.dumps(asdict(better), indent=2) + "\n", encoding="utf-8")


def _lowered(now: dict[str, int], limits: dict[str, int]) -> dict[str, int]:
    return {name: min(lines, limits[name]) for name, lines in sorted(now.items()) if name in limits}


def measure(workspace: Workspace) -> tuple[Numbers, list[int]]:
    """Read every Python file of the distributions and of the tools; also the length of every function."""
    now, function_lines = Numbers(), list[int]()
    for path in _source_files(workspace):
        name, source = workspace.relative(path), path.read_text(encoding="utf-8")
        if (lines := source.count("\n")) > FILE_LINES_GOAL:
            now.long_files[name] = lines
        now.type_suppressions += _suppressions(source)
        function_lines += _measure_tree(now, name, ast.parse(source))
    return now, function_lines


def _source_files(workspace: Workspace) -> Iterator[Path]:
    for folder in (*(distribution.src for distribution in workspace.distributions), workspace.root / "tools"):
        yield from sorted(folder.rglob("*.py"))


def _measure_tree(now: Numbers, name: str, tree: ast.Module) -> Iterator[int]:
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            lines = _body_lines(node)
            if lines > FUNCTION_LINES_GOAL:
                now.long_functions[f"{name}::{node.name}"] = lines
            yield lines
        elif isinstance(node, ast.ExceptHandler):
            now.broad_excepts += _swallows_everything(node)


def _swallows_everything(node: ast.ExceptHandler) -> bool:
    """Catches whatever comes and does not raise again: cleaning up before `raise` is no offence."""
    broad = node.type is None or any(name in _names(node.type) for name in _BROAD)
    return broad and not any(isinstance(child, ast.Raise) for child in ast.walk(node))


def _body_lines(node: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Lines from `def` to the end, without the docstring: documenting a function must not make it too long."""
    total = (node.end_lineno or node.lineno) - node.lineno + 1
    first = node.body[0]
    if ast.get_docstring(node, clean=False) is not None:
        total -= (first.end_lineno or first.lineno) - first.lineno + 1
    return total


def _names(node: ast.expr) -> set[str]:
    return {child.id for child in ast.walk(node) if isinstance(child, ast.Name)}


def _suppressions(source: str) -> int:
    tokens = tokenize.generate_tokens(io.StringIO(source).readline)
    comments = [token.string for token in tokens if token.type == tokenize.COMMENT]
    return sum(any(marker in comment for marker in _SUPPRESSIONS) for comment in comments)


def _over(now: dict[str, int], limits: dict[str, int], goal: int) -> list[str]:
    worse = {name: value for name, value in now.items() if value > limits.get(name, goal)}
    return [f"{name}: {value} lines, at most {limits.get(name, goal)} allowed" for name, value in sorted(worse.items())]


def _distribution_findings(function_lines: list[int]) -> list[str]:
    if len(function_lines) < 2:
        return []
    median, p95 = statistics.median(function_lines), statistics.quantiles(function_lines, n=20)[-1]
    shown = [("median", median, FUNCTION_MEDIAN_GOAL), ("95th percentile", p95, FUNCTION_P95_GOAL)]
    return [f"function length, {name}: {value:.0f} lines, goal {goal}" for name, value, goal in shown if value > goal]


def _limits_path(workspace: Workspace) -> Path:
    return workspace.root / "tools" / "checks" / "ratchets.json"


def _read_limits(workspace: Workspace) -> Numbers:
    return Numbers(**json.loads(_limits_path(workspace).read_text(encoding="utf-8")))
