"""Results that are stored."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from fg_kernels.errors import UnwritableFileError


def check_writable(path: Path) -> None:
    """Fail before minutes of measuring, not after them; a file that is there stays as it is, a folder is made.

    Raises:
        UnwritableFileError: nothing can be written there.
    """
    new = not path.exists()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.open("ab").close()
    except OSError as error:
        raise UnwritableFileError(f"{path} cannot be written: {error.strerror}; name another file") from error
    if new:
        path.unlink()


def as_json(content: Any) -> str:
    """`content` as JSON text, which knows neither infinity nor NaN: they become null."""
    return json.dumps(_finite(content), indent=2, allow_nan=False)


def _finite(content: Any) -> Any:
    if isinstance(content, Mapping):
        return {key: _finite(value) for key, value in content.items()}
    if isinstance(content, Sequence) and not isinstance(content, str):
        return [_finite(value) for value in content]
    return None if isinstance(content, float) and not math.isfinite(content) else content
