"""What files say now, for programs that run on: read again when they change, and kept when they turn bad."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Hashable
from typing import Final, Generic, TypeVar

from fg_tls.errors import TlsError

logger = logging.getLogger(__name__)

_RETRY_SECONDS: Final = 1.0

T = TypeVar("T")


class Watched(Generic[T]):
    """The newest usable `value` of what `read` gives; `stamp` is equal for as long as it would give the same.

    What cannot be read is tried again even if it does not change: too many open files, for one, are no damage, and
    what they kept from being seen may be that somebody is shut out.
    """

    def __init__(
        self,
        read: Callable[[], T],
        stamp: Callable[[], Hashable],
        *,
        what: str,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._read = read
        self._make_stamp = stamp
        self._what = what
        self._now = now
        self._stamp = stamp()
        self._refused: Hashable = None
        self._retry = 0.0
        self.value = read()

    def changed(self) -> bool:
        """Read again if there is something new; whether there was, and could be used."""
        stamp = self._make_stamp()
        known_bad = self._retry and stamp == self._refused
        if stamp == self._stamp or (known_bad and self._now() < self._retry):
            return False
        try:
            self.value = self._read()
        except TlsError as error:
            if not known_bad:
                logger.warning("keeping %s: %s", self._what, error)
            self._refused, self._retry = stamp, self._now() + _RETRY_SECONDS
            return False
        self._stamp, self._retry = stamp, 0.0
        return True
