"""The process that imports on behalf of another one and tells it what callables accept."""

from __future__ import annotations

import inspect
import json
import os
import sys
import typing
from collections.abc import Callable, Iterator, Mapping
from dataclasses import is_dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Final

from fg_config.building.file_modules import without_module_names
from fg_config.building.policy import ImportPolicy
from fg_config.building.resolver import resolve
from fg_config.building.signatures import FailureKind
from fg_config.errors import ConfigError, PolicyError
from fg_config.schema.annotations import schema_of

_KINDS: Final = {
    inspect.Parameter.POSITIONAL_ONLY: "positional_only",
    inspect.Parameter.POSITIONAL_OR_KEYWORD: "positional",
    inspect.Parameter.VAR_POSITIONAL: "var_positional",
    inspect.Parameter.KEYWORD_ONLY: "keyword_only",
    inspect.Parameter.VAR_KEYWORD: "var_keyword",
}
_LONGEST_TEXT: Final = 200
_NO_HINT: Final = (NameError, TypeError, AttributeError, SyntaxError, ValueError)


def main() -> None:
    """Read an order from standard input and answer each request with one line on standard output."""
    order = json.load(sys.stdin)
    with os.fdopen(os.dup(1), "w", encoding="utf-8") as answers:
        os.dup2(2, 1)  # what modules print while they are imported is no answer
        policy, directory = ImportPolicy.from_json(order["policy"]), Path(order["directory"])
        for request in order["requests"]:
            answers.write(json.dumps(_answer(request, policy, directory)) + "\n")
            answers.flush()


def _answer(request: Mapping[str, Any], policy: ImportPolicy, directory: Path) -> dict[str, Any]:
    spec = request["spec"]
    try:
        found = resolve(spec, submodule_searchpath=request["submodule_searchpath"], directory=directory, policy=policy)
    except PolicyError as error:
        return _failure(spec, "refused", error.message)
    except ConfigError as error:
        return _failure(spec, "missing", " ".join(filter(None, [error.message, error.help and f"({error.help})"])))
    except ImportError as error:  # of something that the module itself imports
        return _failure(spec, "failed", f"importing it raised {type(error).__name__}: {error}")
    if not callable(found):
        return _failure(spec, "opaque", f"{spec!r} is a {type(found).__name__} and cannot be called")
    try:
        signature = inspect.signature(found)
    except (ValueError, TypeError):
        return _failure(spec, "opaque", f"{spec!r} does not say what it accepts")
    return {"spec": spec, "parameters": list(_parameters(found, signature)), **_about(found)}


def _failure(spec: str, kind: FailureKind, message: str) -> dict[str, Any]:
    return {"spec": spec, "kind": kind, "message": message}


def _parameters(found: Callable[..., Any], signature: inspect.Signature) -> Iterator[dict[str, Any]]:
    scope = _scope(found)
    for each in signature.parameters.values():
        described: dict[str, Any] = {"name": each.name, "kind": _KINDS[each.kind]}
        if each.default is not inspect.Parameter.empty:
            described |= {"has_default": True, **_default(each.default)}
        if each.annotation is not inspect.Parameter.empty:
            described |= {"annotation": _shown(each.annotation), "schema": _schema(each.annotation, scope)}
        yield described


def _scope(found: Any) -> dict[str, Any]:
    """The names that annotations written as text mean: those of the module that defines the callable."""
    function = inspect.unwrap(found)
    if isinstance(function, type) and inspect.isfunction(function.__init__) and not is_dataclass(function):
        function = function.__init__
    module = sys.modules.get(getattr(function, "__module__", None) or "")
    return getattr(function, "__globals__", None) or (vars(module) if module else {})


def _schema(annotation: Any, scope: dict[str, Any]) -> dict[str, Any]:
    """The schema of one annotation; `{}` when its names exist only for type checkers."""
    try:
        hints = typing.get_type_hints(SimpleNamespace(__annotations__={"it": annotation}), scope, include_extras=True)
    except _NO_HINT:
        return {}
    schema = schema_of(hints["it"])
    return schema if _is_json(schema) else {}


def _default(value: Any) -> dict[str, Any]:
    text = repr(value)
    shown = text if len(text) <= _LONGEST_TEXT else text[: _LONGEST_TEXT - 1] + "…"
    return {"default": value, "default_text": shown} if _is_json(value) else {"default_text": shown}


def _is_json(value: Any) -> bool:
    try:
        return bool(json.loads(json.dumps(value, allow_nan=False)) == value)
    except (TypeError, ValueError):
        return False


def _shown(annotation: Any) -> str:
    return annotation if isinstance(annotation, str) else without_module_names(inspect.formatannotation(annotation))


def _about(found: Any) -> dict[str, Any]:
    lines = (inspect.getdoc(found) or "").strip().splitlines()
    about = {"summary": lines[0] if lines else None, "deprecated": _deprecated(found, lines)}
    plain = inspect.unwrap(found)
    try:
        return about | {"file": inspect.getsourcefile(plain), "line": inspect.getsourcelines(plain)[1]}
    except (TypeError, OSError):
        return about


def _deprecated(found: Any, lines: list[str]) -> str | None:
    """What PEP 702 or Sphinx's directive says."""
    if isinstance(reason := getattr(found, "__deprecated__", None), str):
        return reason
    marked = next((index for index, line in enumerate(lines) if line.strip().startswith(".. deprecated::")), None)
    if marked is None:
        return None
    return " ".join(line.strip() for line in lines[marked : marked + 2]).removeprefix(".. deprecated::").strip()
