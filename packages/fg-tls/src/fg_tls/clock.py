"""Where times of day come from, so that a year of renewals can be tested in a second."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Final

# A clock gives the present as an aware time in UTC.
Clock = Callable[[], datetime]


def system_clock() -> datetime:
    """The present, as this machine knows it."""
    return datetime.now(UTC)


SYSTEM: Final[Clock] = system_clock
