"""How a path into a graph is written: steps joined by dots, `trainer_args.lr`, `callbacks.0`, `groups."a.b".lr`."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Final

from fg_config.errors import GraphError

_STEP: Final = re.compile(r'"(?:[^"\\]|\\.)*"(?=\.|$)|[^.]*', re.DOTALL)
_BARE: Final = re.compile(r'(?![+~])[^.="]+')  # what an override can hold without quotes


def steps_of(path: str | Sequence[str | int]) -> list[str | int]:
    """The steps of a path; a step with dots in it stands in double quotes. An empty path has none.

    Raises `GraphError` for a quoted step that is no JSON string.
    """
    if not isinstance(path, str):
        return list(path)
    steps: list[str | int] = []
    position = 0
    while path and position <= len(path):
        found = _STEP.match(path, position)
        assert found is not None  # the second alternative matches nothing, too
        steps.append(_unquoted(found[0], path))
        position = found.end() + 1
    return steps


def path_text(steps: Sequence[object]) -> str:
    """The path with these steps, as `steps_of` reads it."""
    return ".".join(map(_quoted, steps))


def _quoted(step: object) -> str:
    text = str(step)
    return text if _BARE.fullmatch(text) else json.dumps(text, ensure_ascii=False)


def _unquoted(step: str, path: str) -> str:
    if not (step.startswith('"') and step.endswith('"') and len(step) > 1):
        return step
    try:
        return json.loads(step, strict=False)
    except ValueError as error:
        raise GraphError(f"{step} in the path {path!r} is no quoted step", code="FG0403") from error
