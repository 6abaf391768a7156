"""Wrong tokens cost time: after a few, an address is told to wait, twice as long after each further one.

Tokens are too long to be guessed at any speed. What the throttle does is make a flood of guesses visible in the log
without filling it, and tell programs that repeat an old token to stop. So it must never cost more than it saves:

- A right token is always heard. Everybody behind a router, in an IPv6 network or on this machine may share an address;
  if wrong tokens locked it, each of them could keep the others out, and so could one forgotten script.
- A wait is at most a minute.
- Wrong tokens from everywhere together have a limit too: many addresses are cheap, with IPv6 above all.
"""

from __future__ import annotations

import ipaddress
import logging
import math
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from fg_tls.pki.names import Address, as_address

logger = logging.getLogger(__name__)

FREE_FAILURES: Final = 20
_FREE_FAILURES_OF_ALL: Final = 1000
_LONGEST_SECONDS: Final = 60.0
_FORGET_SECONDS: Final = 900.0
_MOST_ADDRESSES: Final = 4096
_IPV6_SITE_BITS: Final = 64  # what one subscriber gets, and can take addresses from at will


@dataclass(slots=True)
class _Record:
    failures: int = 0
    last: float = -math.inf
    until: float = -math.inf


class Throttle:
    """Counts wrong credentials by client address; memory is bounded, and `now` is a monotonic clock in seconds."""

    def __init__(self, *, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._records: OrderedDict[str, _Record] = OrderedDict()
        self._all = _Record()

    def failed(self, address: str) -> int:
        """Note a wrong credential; how many seconds its sender is told to wait, 0 for none."""
        now = self._now()
        own = self._records.pop(site := _site(address), _Record())
        self._records[site] = own
        if len(self._records) > _MOST_ADDRESSES:
            self._records.popitem(last=False)
        _count(own, now, FREE_FAILURES)
        _count(self._all, now, _FREE_FAILURES_OF_ALL)
        wait = max(_remaining(own, now), _remaining(self._all, now))
        counted = own if _remaining(own, now) else self._all
        if wait and (counted.failures & (counted.failures - 1)) == 0:  # powers of two: a flood is not one of lines
            number = counted.failures
            logger.warning("%d wrong tokens, now one from %s, which is told to wait %d s", number, address, wait)
        return wait


def _count(record: _Record, now: float, free: int) -> None:
    if now - record.last > _FORGET_SECONDS:
        record.failures = 0
    record.failures += 1
    record.last = now
    if record.failures > free:
        record.until = now + min(_LONGEST_SECONDS, 2.0 ** min(record.failures - free - 1, 10))


def _remaining(record: _Record, now: float) -> int:
    return math.ceil(max(0.0, record.until - now))


def _site(address: str) -> str:
    """Whom an address is counted as: itself, or with IPv6 the network of its subscriber."""
    parsed = _parsed(address)
    if parsed is None or parsed.version == 4:
        return str(parsed)
    return str(ipaddress.ip_network((parsed.packed, _IPV6_SITE_BITS), strict=False))


def _parsed(address: str) -> Address | None:
    """None for the client of a Unix socket."""
    parsed = as_address(address)
    return getattr(parsed, "ipv4_mapped", None) or parsed
