"""What the sub-verbs share: their shape, flags for names and times, and aligned output."""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Callable, Iterable
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from fg_tls.host.store import Store
    from fg_tls.pki.certificates import Certificate
    from fg_tls.pki.names import Names


ROLES = ("member", "submitter")  # `fg_tls.pki.certificates.ROLES`, whose library --help shall not load
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}
_SPAN = re.compile(r"([1-9][0-9]{0,5})([smhd])")


class Action(NamedTuple):
    """A sub-verb: its help, what configures and what runs it."""

    help: str
    configure: Callable[[argparse.ArgumentParser], None]
    run: Callable[[argparse.Namespace], int]


def no_flags(parser: argparse.ArgumentParser) -> None:
    """For sub-verbs that need none."""


def add_names(parser: argparse.ArgumentParser, text: str, *, prefix: str = "") -> None:
    """Add `--hostname` and `--ip`, which may be repeated and take several words; `named` reads them."""
    options: dict[str, Any] = {"nargs": "+", "action": "extend", "default": []}
    parser.add_argument(f"--{prefix}hostname", dest="hostnames", metavar="NAME", help=f"{text}: host names", **options)
    parser.add_argument(f"--{prefix}ip", dest="addresses", metavar="ADDRESS", help=f"{text}: addresses", **options)


def named(args: argparse.Namespace) -> Names:
    """The names that `add_names` took.

    Raises:
        HostNameError: a host name where an address belongs, or the other way round.
    """
    from fg_tls.errors import HostNameError
    from fg_tls.pki.names import Names, parse_names

    hostnames, addresses = parse_names(args.hostnames), parse_names(args.addresses)
    if hostnames.addresses:
        raise HostNameError(
            f"{hostnames.addresses[0]} is an address, no host name; give it with the flag for addresses"
        )
    if addresses.hostnames:
        raise HostNameError(f"{addresses.hostnames[0]!r} is no address, such as 10.0.0.5")
    return Names(hostnames=hostnames.hostnames, addresses=addresses.addresses)


def span(text: str) -> timedelta:
    """`15m`, `12h`, `30d`, as an argument."""
    match = _SPAN.fullmatch(text)
    if match is None:
        raise argparse.ArgumentTypeError(f"{text!r} is no span of time, such as 15m, 12h or 30d")
    return timedelta(**{_UNITS[match[2]]: int(match[1])})


def show(rows: Iterable[tuple[str, object]]) -> None:
    """Print what something is, and its value, in two columns; rows without a value are left out."""
    kept = [(name, str(value)) for name, value in rows if value not in (None, "", ())]
    width = max((len(name) for name, _ in kept), default=0)
    for name, value in kept:
        first, *more = value.splitlines()
        print(f"{name:<{width}}  {first}", *(f"{'':<{width}}  {line}" for line in more), sep="\n")


def say(text: str) -> None:
    """What goes on, on the error stream: the result alone is the output."""
    print(text, file=sys.stderr, flush=True)


def say_left_out(store: Store, certificate: Certificate, asked: Names) -> int:
    """Say which names are not in `certificate`, and why; 1 when a person has asked for one of them."""
    from fg_tls.membership.left_out import left_out
    from fg_tls.membership.renewal import declined

    for line in left_out(store, certificate, asked):
        say(line)
    return 1 if declined(asked, certificate) else 0


def as_json(value: object) -> str:
    """JSON for programs, with a stable order."""
    return json.dumps(value, indent=2, sort_keys=True)


def day(moment: datetime) -> str:
    """The day of a moment, in UTC."""
    return f"{moment:%Y-%m-%d}"
