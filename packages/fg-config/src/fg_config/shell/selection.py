"""Choosing from a numbered list: `1,3,5-8`."""

from __future__ import annotations

import re
from typing import Final

from fg_config.errors import ConfigError

_PART: Final = re.compile(r"(\d+)(?:-(\d+))?")


def chosen_numbers(text: str, count: int) -> list[int]:
    """The numbers that `text` names, in its order and each once. Raises `ConfigError` for what is not in 1…`count`."""
    found: list[int] = []
    for part in filter(None, re.split(r"[,\s]+", text.strip())):
        match = _PART.fullmatch(part)
        first, last = (int(match[1]), int(match[2] or match[1])) if match else (0, 0)
        if not 1 <= first <= last <= count:
            raise ConfigError(f"{part!r} is no choice", code="FG0641", help=f"numbers from 1 to {count}, as in 1,3,5-8")
        found += range(first, last + 1)
    return list(dict.fromkeys(found))
