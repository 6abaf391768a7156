"""Every error of this distribution.

TrainerError                      base; its text is for the person who started the run
├── ArgumentsError                a setting that is unknown, out of range or excludes another
├── ResumeError                   a checkpoint that must not be used, and what to do instead
├── DatasetError                  a dataset the loop cannot read from
└── LaunchError                   the command, the world size or the config's targets do not fit
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import ClassVar


class TrainerError(Exception):
    """Base of all errors raised by fg_trainers."""

    exit_code: ClassVar[int] = 2


class ArgumentsError(TrainerError, ValueError):
    """A training argument is unknown or has an impossible value."""


class ResumeError(TrainerError):
    """The checkpoint to resume from is damaged, missing or of another run."""


class DatasetError(TrainerError):
    """The dataset has no rows, or a form that cannot be streamed."""


class LaunchError(TrainerError):
    """The run cannot be started as asked."""


def near_matches(name: str, known: Iterable[str]) -> str:
    """`" (did you mean 'a' or 'b'?)"`, or an empty string when nothing is close."""
    matches = difflib.get_close_matches(name, list(known), n=2, cutoff=0.6)
    return f" (did you mean {' or '.join(repr(match) for match in matches)}?)" if matches else ""
