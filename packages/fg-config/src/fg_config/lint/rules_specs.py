"""FG04: import specs that say by their form alone that nothing will be found. Nothing is imported for that."""

from __future__ import annotations

import builtins
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

from fg_config.building.helpers import HELPERS
from fg_config.building.policy import ImportPolicy
from fg_config.building.resolver import resolve_alias
from fg_config.hints import nearest
from fg_config.lint.context import ConfigContext
from fg_config.lint.findings import Finding
from fg_config.nodes import Call
from fg_config.tagged import container_tag
from fg_config.walking import walk


class Problem(NamedTuple):
    """What is wrong with the form of a spec. Code that is written out may `still_export` it as it is."""

    code: str
    message: str
    help: str | None
    still_exports: bool = False


def is_relative(spec: str) -> bool:
    """Whether a spec is relative to the package that it is exported into; `./file.py:Name` is a file."""
    return spec.startswith(".") and not spec.rpartition(":")[0].endswith(".py")


def relative_specs(context: ConfigContext) -> Iterator[Finding]:
    """`.module:Name` in a node that no `!meta` node receives to write it out."""
    for call, exported in _calls(context):
        if is_relative(call.spec) and not exported:
            message = f"{call.spec!r} is relative: it can be exported as source, but not built"
            yield context.found("FG0423", message, call.span, "name the module in full")


def malformed_specs(context: ConfigContext) -> Iterator[Finding]:
    """Specs that no build could follow, whatever is installed."""
    for call, exported in _calls(context):
        if problem := problem_of(call.spec):
            severity = "note" if exported and problem.still_exports else None
            yield context.found(problem.code, problem.message, call.span, problem.help, severity=severity)


def denied_specs(context: ConfigContext, policy: ImportPolicy) -> Iterator[Finding]:
    """Specs that the import policy denies by their written name, as `imports` tells it of a target."""
    for call, _ in _calls(context) if context.graph is not None else ():
        if container_tag(call) or is_relative(call.spec) or problem_of(call.spec) is not None:
            continue
        verdict = policy.judge(resolve_alias(call.spec), context.project.project_dir)
        if verdict.word == "denied":
            message = f"the import policy does not let a config call {call.spec}: {verdict.reason}"
            help = "`forgather imports` lists what is refused; name something else, or allow it in a policy"
            yield context.found("FG0515", message, call.span, help, severity="warning")


@lru_cache(maxsize=4096)
def problem_of(spec: str) -> Problem | None:
    """What is wrong with the form of a spec that is not relative."""
    module, colon, symbol = spec.rpartition(":")
    if is_relative(spec):
        return None
    if colon:
        if module and symbol and ":" not in module.removeprefix(Path(module).drive):
            return None
        help = "one colon stands between the module, or the file, and the name: module:Name"
        return Problem("FG0427", f"{spec!r} is no import spec", help)
    holder, dot, name = spec.rpartition(".")
    if spec in HELPERS or _is_builtin(spec):
        return None
    if dot and not hasattr(builtins, spec.partition(".")[0]):
        message = f"{spec!r} has no colon: it can be exported as it is, but not built"
        return Problem("FG0425", message, f"write {holder}:{name}", still_exports=True)
    return Problem("FG0426", f"there is no builtin {spec!r}", nearest(spec, _neighbours(holder)))


def _is_builtin(path: str) -> bool:
    found: object = builtins
    for name in path.split("."):
        if not hasattr(found, name):
            return False
        found = getattr(found, name)
    return True


def _neighbours(holder: str) -> list[str]:
    """What could have been meant: the builtins and helpers, or what is in one of the builtins."""
    if not holder:
        return [*HELPERS, *(name for name in dir(builtins) if not name.startswith("_"))]
    return [f"{holder}.{name}" for name in dir(getattr(builtins, holder, None)) if not name.startswith("_")]


def _calls(context: ConfigContext) -> Iterator[tuple[Call, bool]]:
    """Every call, and whether a `!meta` node receives it, to write it out as source."""
    assert context.graph is not None
    calls = [value for value in walk([context.graph.root]) if isinstance(value, Call)]
    metas = [call for call in calls if call.kind == "meta"]
    exported = {id(inner) for call in metas for inner in walk([*call.args, *call.kwargs.values()])}
    yield from ((call, id(call) in exported) for call in calls)
