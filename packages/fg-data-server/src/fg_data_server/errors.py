"""Errors say what is wrong with the data or the position in it, where, and what to do.

DataError                        base (a ValueError)
├── SettingError                 a setting has a value that cannot work
├── MissingDatasetError          no such file
├── MissingExtraError            an optional library is not installed
├── EmptyDatasetError            no row, or no row with a token
├── DatasetContentError          a file is not what its format promises
├── UnknownColumnError           no column of that name
├── CursorError                  a saved position cannot be read
├── FingerprintMismatchError     the data is not the data the position was taken in
└── ViewMismatchError            the same data, but ordered, encoded or packed differently
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import ClassVar


class DataError(ValueError):
    """Something the user can put right: a path, a setting, a file or a saved position."""

    exit_code: ClassVar[int] = 2


class SettingError(DataError):
    """A setting has a value that cannot work."""


class MissingDatasetError(DataError):
    """There is no such data file."""


class MissingExtraError(DataError):
    """The format needs a library that is not installed."""


class EmptyDatasetError(DataError):
    """The data has no row, or no row that encodes to a token."""


class DatasetContentError(DataError):
    """A file is not what its format promises: bytes that are no UTF-8, lines that are no JSON."""


class UnknownColumnError(DataError):
    """Rows have no column of that name."""


class CursorError(DataError):
    """A saved position is malformed, from another version, or outside the data."""


class FingerprintMismatchError(DataError):
    """The data is not the data that the position was taken in."""


class ViewMismatchError(DataError):
    """The data is the same, but it would be ordered, encoded or packed differently."""


def near_matches(name: str, known: Iterable[str]) -> str:
    """A sentence that offers what the user may have meant, or lists what there is. Empty when there is nothing."""
    names = sorted(known)
    close = difflib.get_close_matches(name, names, n=3, cutoff=0.5)
    if close:
        return f" Did you mean {' or '.join(close)}?"
    if not names:
        return ""
    more = f" and {len(names) - 8} more" if len(names) > 8 else ""
    return f" There is: {', '.join(names[:8])}{more}."


def check_choice(setting: str, value: object, choices: Iterable[str]) -> None:
    """Raise SettingError unless `value` is one of `choices`."""
    known = tuple(choices)
    if value not in known:
        raise SettingError(f"{setting} is {value!r}; it must be one of {', '.join(known)}.")


def check_at_least(setting: str, value: object, least: int) -> None:
    """Raise SettingError unless `value` is a whole number of at least `least`."""
    if not isinstance(value, int) or isinstance(value, bool) or value < least:
        raise SettingError(f"{setting} is {value!r}; it must be a whole number of at least {least}.")
