"""Under which URLs a listener can be reached: never that of a wildcard address, which is nobody's."""

from __future__ import annotations

import ipaddress

from fg_tls.pki.names import Names

_LOCAL = ("localhost", "127.0.0.1")


def urls(host: str, port: int, names: Names, *, tls: bool) -> tuple[str, ...]:
    """All URLs of a listener bound to `host`, the best one for a client on this machine first.

    `names` are those of the certificate, or without TLS those of this machine. With TLS a name that is not in the
    certificate is of no use, so that all names of the certificate are given if no better one is among them.
    """
    candidates = _candidates(host, names)
    usable = [each for each in candidates if not tls or each in names] or [str(each) for each in _all(names)]
    scheme = "https" if tls else "http"
    return tuple(f"{scheme}://{_bracketed(each)}:{port}" for each in dict.fromkeys(usable or candidates))


def _candidates(host: str, names: Names) -> list[str]:
    address = ipaddress.ip_address(host)
    if address.is_unspecified:
        return [*_LOCAL, *(each for each in _all(names) if address.version == 6 or ":" not in each)]
    if address.is_loopback:
        return [host, "localhost"]
    return [host, *(each for each in names.hostnames if each != "localhost")]


def _all(names: Names) -> list[str]:
    # A certificate may name *.example.org, where nobody can connect to.
    return [*(each for each in names.hostnames if "*" not in each), *map(str, names.addresses)]


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host
