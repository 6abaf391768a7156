"""Which names a request may call us by.

A page on the web can make a browser send requests to 127.0.0.1, and with DNS rebinding even read the answers; its
requests still carry the page's own name in `Host` or `Origin` (CVE-2024-28224 is this attack on another server).
Only the name is compared: behind an SSH tunnel the port is another one.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

from starlette.datastructures import Headers

_HOST: Final = re.compile(r"(?P<name>\[[0-9a-f:.]+\]|[a-z0-9.-]+)(?::[0-9]{1,5})?", re.IGNORECASE)
LOOPBACK_NAMES: Final = ("localhost", "127.0.0.1", "::1")
_OWN_SITE: Final = frozenset({"same-origin", "none"})


class AllowedHosts:
    """The names and addresses that a server answers to; those of loopback always."""

    def __init__(self, hosts: Iterable[str] = ()) -> None:
        self._names = tuple(dict.fromkeys((*LOOPBACK_NAMES, *(host.lower() for host in hosts))))

    def __str__(self) -> str:
        return ", ".join(self._names)

    def allows(self, headers: Headers) -> bool:
        """Whether a request is addressed to this server: by exactly one `Host` header, with one of its names."""
        hosts = headers.getlist("host")
        match = _HOST.fullmatch(hosts[0]) if len(hosts) == 1 else None
        return match is not None and match["name"].lower().strip("[]") in self._names


def foreign_origin(headers: Headers, scheme: str) -> bool:
    """Whether a page of another site made a browser send the request, which came by `scheme`."""
    site = {"ws": "http", "wss": "https"}.get(scheme, scheme)
    own = f"{site}://{headers.get('host')}".lower()
    if any(origin.lower() != own for origin in headers.getlist("origin")):
        return True
    return any(site not in _OWN_SITE for site in headers.getlist("sec-fetch-site"))
