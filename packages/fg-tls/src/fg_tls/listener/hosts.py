"""Which names a request may call us by.

A page on the web can make a browser send requests to 127.0.0.1, and with DNS rebinding even read the answers; its
requests still carry the page's own name in `Host` or `Origin` (CVE-2024-28224 is this attack on another server).
Only the name is compared: behind an SSH tunnel the port is another one. `Origin` must be scheme and `Host` of the
very request, port included: the page of another server on the same machine is another site.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

from starlette.datastructures import Headers

from fg_tls.pki.names import Names, parse_names

_HOST: Final = re.compile(r"(?P<name>\[[0-9a-f:.]+\]|[a-z0-9.-]+)(?::[0-9]{1,5})?", re.IGNORECASE)
LOOPBACK: Final = parse_names(["localhost", "127.0.0.1", "::1"])
NO_NAMES: Final = Names()
_OWN_SITE: Final = frozenset({"same-origin", "none"})


class AllowedHosts:
    """The names and addresses that a server answers to; those of loopback always.

    `newer` gives the names of a certificate that may have taken the place of an older one; it is asked about a name
    only when that is not among the `names` from the start.
    """

    def __init__(self, names: Names = NO_NAMES, *, newer: Callable[[], Names] = lambda: NO_NAMES) -> None:
        self._names = LOOPBACK | names
        self._newer = newer

    def __str__(self) -> str:
        return str(self._names | self._newer())

    def allows(self, headers: Headers) -> bool:
        """Whether a request is addressed to this server: by exactly one `Host` header, with one of its names."""
        hosts = headers.getlist("host")
        match = _HOST.fullmatch(hosts[0]) if len(hosts) == 1 else None
        return match is not None and (match["name"] in self._names or match["name"] in self._newer())


def foreign_origin(headers: Headers, scheme: str) -> bool:
    """Whether a page of another site made a browser send the request, which came by `scheme`."""
    site = {"ws": "http", "wss": "https"}.get(scheme, scheme)
    own = f"{site}://{headers.get('host')}".lower()
    if any(origin.lower() != own for origin in headers.getlist("origin")):
        return True
    return any(site not in _OWN_SITE for site in headers.getlist("sec-fetch-site"))
