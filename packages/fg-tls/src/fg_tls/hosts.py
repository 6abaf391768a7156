"""Which names a request may call us by.

A page on the web can make a browser send requests to 127.0.0.1, and with DNS rebinding even read the answers; its
requests still carry the page's own name in `Host` or `Origin` (CVE-2024-28224 is this attack on another server).
Only the name is compared: behind an SSH tunnel the port is another one.
"""

from __future__ import annotations

import re
from typing import Final

from starlette.datastructures import Headers

_HOST: Final = re.compile(r"(?P<name>\[[0-9a-f:.]+\]|[a-z0-9.-]+)(?::[0-9]{1,5})?", re.IGNORECASE)
LOOPBACK_NAMES: Final = frozenset({"localhost", "127.0.0.1", "[::1]"})
_OWN_SITE: Final = frozenset({"same-origin", "none"})


def wrong_host(headers: Headers) -> bool:
    """Whether a request is addressed to somebody else: no or several `Host` headers, or not a loopback name."""
    hosts = headers.getlist("host")
    match = _HOST.fullmatch(hosts[0]) if len(hosts) == 1 else None
    return match is None or match["name"].lower() not in LOOPBACK_NAMES


def foreign_origin(headers: Headers) -> bool:
    """Whether a page of another site made a browser send the request."""
    own = f"http://{headers.get('host')}".lower()
    if any(origin.lower() != own for origin in headers.getlist("origin")):
        return True
    return any(site not in _OWN_SITE for site in headers.getlist("sec-fetch-site"))
