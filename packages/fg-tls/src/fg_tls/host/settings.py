"""config.yaml of the TLS directory: what a person may change, read strictly, and edited without losing a comment.

Files of Forgather 1.x are read too: what its keys meant is taken over, and those that mean nothing now are listed.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import yaml

from fg_config.hints import nearest
from fg_tls.errors import StoreError
from fg_tls.pki.names import Names, parse_names

FILE_NAME: Final = "config.yaml"

TEMPLATE: Final = """\
# TLS of this host. `forgather tls status` shows what is in force; servers follow changes while they run.

# false: the certificate is kept and not used, and servers stay on loopback (`forgather tls disable`).
enabled: true

# What the certificate should name besides the names and addresses that this host finds by itself.
hostnames: []
addresses: []

# Where an authority renews the certificate of this host; they are tried in this order.
issuers: []

# A certificate that something else renews, for example certbot, and an authority to trust besides our own.
# server_cert: /etc/letsencrypt/live/example.org/fullchain.pem
# server_key: /etc/letsencrypt/live/example.org/privkey.pem
# ca_cert: /etc/ssl/example-authority.pem
"""

# Keys of Forgather 1.x that mean nothing now, and what took their place.
OUTDATED: Final[Mapping[str, str]] = {
    "auto_on_non_loopback": "servers beyond loopback always use TLS, unless they are started with --insecure",
    "ca_bundle": "trust.pem holds every authority that this host trusts",
    "ca_key": "the key of an authority is in ca/authority.pem; `forgather tls init` makes one",
    "ca_serial": "serial numbers are random",
    "ca_validity_days": "an authority holds for 10 years",
    "validity_days": "certificates hold for 30 days and renew themselves",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What config.yaml says; paths are absolute."""

    enabled: bool = True
    names: Names = field(default_factory=Names)  # to ask for, besides those that this host finds by itself
    issuers: tuple[str, ...] = ()  # https URLs
    server_cert: Path | None = None
    server_key: Path | None = None  # None with a `server_cert`: the key is in the same file
    ca_cert: Path | None = None
    trusted_dir: Path | None = None  # of Forgather 1.x; None is `trusted`
    outdated: tuple[str, ...] = ()  # keys of Forgather 1.x that mean nothing now


def read(directory: Path) -> Settings:
    """The settings of a TLS directory; without a file, the defaults.

    Raises:
        StoreError: the file cannot be read, or says something that it cannot.
    """
    path = directory / FILE_NAME
    text = read_text(path)
    return Settings() if text is None else parse(text, path)


def parse(text: str, path: Path) -> Settings:
    """The settings of this text; `path` is where it comes from, and what relative paths in it are relative to.

    Raises:
        StoreError: an unknown key, or a value that cannot be; with the line.
    """
    found = dict(_entries(text, path))
    key, cert = found.get("server_key"), found.get("server_cert")
    if key is not None and cert is None:
        raise StoreError(f"{path}: server_key is set without server_cert; set both, or neither")
    return Settings(
        enabled=found.get("enabled", True),
        names=found.get("hostnames", Names()) | found.get("addresses", Names()) | found.get("san", Names()),
        issuers=found.get("issuers", ()),
        server_cert=cert,
        server_key=key,
        ca_cert=found.get("ca_cert"),
        trusted_dir=found.get("trusted_dir"),
        outdated=tuple(sorted(OUTDATED.keys() & found.keys())),
    )


def edited(text: str, path: Path, changes: Mapping[str, Any]) -> str:
    """`text` with other values for some keys; every comment stays, save those within a list that is replaced.

    Raises:
        StoreError: the text is broken, or written in a way that a program should not edit.
    """
    for key, value in changes.items():
        text = _with_value(text, path, key, f"{key}: {json.dumps(value, ensure_ascii=False)}")
    parse(text, path)  # the whole must be right
    found = dict(_entries(text, path))
    if any(found.get(key) != _READERS[key](value, path) for key, value in changes.items()):
        lines = "; ".join(f"{key}: {json.dumps(value)}" for key, value in changes.items())
        raise StoreError(f"{path} is written in a way that this command cannot edit; write there yourself: {lines}")
    return text


def _with_value(text: str, path: Path, key: str, line: str) -> str:
    for name, value in _nodes(text, path):
        if name.value == key:
            return text[: name.start_mark.index] + line + text[_end(value) :]
    return text + ("" if text.endswith("\n") or not text else "\n") + line + "\n"


def _end(node: yaml.Node) -> int:
    """Where a value ends; a block list claims the comments that follow it too."""
    if isinstance(node, yaml.CollectionNode) and not node.flow_style and node.value:
        last = node.value[-1]
        return _end(last[1] if isinstance(last, tuple) else last)
    return node.end_mark.index


def read_text(path: Path) -> str | None:
    """What stands in the file; None when there is none.

    Raises:
        StoreError: it cannot be read, or is no text.
    """
    try:
        return path.read_text("utf-8")
    except FileNotFoundError:
        return None
    except UnicodeDecodeError as error:
        raise StoreError(f"{path} is not a text file in UTF-8; write it again") from error
    except OSError as error:
        raise StoreError(f"cannot read {path}: {error.strerror}") from error


def _entries(text: str, path: Path) -> Iterator[tuple[str, Any]]:
    seen: dict[str, int] = {}
    for name, node in _nodes(text, path):
        line = name.start_mark.line + 1
        where, key = f"{path}:{line}", str(name.value)
        if key in seen:
            raise StoreError(f"{where}: {key!r} stands in line {seen[key]} already; keep one of them")
        seen[key] = line
        if key in OUTDATED:
            yield key, None
        elif key in _READERS:
            yield key, _value(key, node, where, path)
        else:
            raise StoreError(f"{where}: unknown key {key!r}; {nearest(key, _OFFERED, 'keys')}")


def _value(key: str, node: yaml.Node, where: str, path: Path) -> Any:
    try:
        return _READERS[key](yaml.SafeLoader("").construct_object(node, deep=True), path)
    except (ValueError, yaml.YAMLError) as error:  # the loader lets go the errors of Python's own types too
        raise StoreError(f"{where}: {key}: {' '.join(str(error).split())}") from error


def _nodes(text: str, path: Path) -> list[tuple[yaml.Node, yaml.Node]]:
    try:
        root = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.MarkedYAMLError as error:
        line = f":{error.problem_mark.line + 1}" if error.problem_mark else ""
        raise StoreError(f"{path}{line} is not YAML: {error.problem}") from error
    except (yaml.YAMLError, RecursionError) as error:
        raise StoreError(f"{path} is not YAML: {' '.join(str(error).split())}") from error
    if root is None:
        return []
    if not isinstance(root, yaml.MappingNode):
        raise StoreError(f"{path}:{root.start_mark.line + 1}: write `key: value` lines, for example `enabled: true`")
    return root.value


class _ValueRefusedError(ValueError):
    """A value that its key cannot have; the text says what it may be."""


def _boolean(value: object, _path: Path) -> bool:
    if not isinstance(value, bool):
        raise _ValueRefusedError(f"{value!r} is neither true nor false")
    return value


def _strings(value: object) -> list[str]:
    if value is None:
        return []
    if not isinstance(value, list) or not all(isinstance(each, str) for each in value):
        raise _ValueRefusedError(f"{value!r} is not a list of words, such as [one, two]")
    return value


def _hostnames(value: object, _path: Path) -> Names:
    names = parse_names(_strings(value))
    if names.addresses:
        raise _ValueRefusedError(f"{names.addresses[0]} is an address; write it below `addresses`")
    return names


def _addresses(value: object, _path: Path) -> Names:
    names = parse_names(_strings(value))
    if names.hostnames:
        raise _ValueRefusedError(f"{names.hostnames[0]!r} is not an address; write it below `hostnames`")
    return names


def _issuers(value: object, _path: Path) -> tuple[str, ...]:
    for url in (urls := _strings(value)):
        if not _is_issuer(url):
            raise _ValueRefusedError(f"{url!r} is not the URL of an issuer, such as https://box.local:8767")
    return tuple(urls)


def _is_issuer(url: str) -> bool:
    try:
        parts = urlsplit(url)
        host, _port = parts.hostname, parts.port
    except ValueError:  # brackets without an address, or a port that is none
        return False
    return parts.scheme == "https" and bool(host) and parts.username is None


def _file(value: object, path: Path) -> Path | None:
    if value is None:
        return None
    if not isinstance(value, str) or not value:
        raise _ValueRefusedError(f"{value!r} is not the path of a file")
    return path.parent / Path(value).expanduser()


def _san(value: object, path: Path) -> Names:
    if value is not None and not isinstance(value, dict):
        raise _ValueRefusedError(f"{value!r} is not a mapping; use the keys `hostnames` and `addresses` instead")
    given = value or {}
    if unknown := sorted(map(str, given.keys() - {"hostnames", "ips"})):
        raise _ValueRefusedError(f"unknown key {unknown[0]!r}; use the keys `hostnames` and `addresses` instead")
    return _hostnames(given.get("hostnames"), path) | _addresses(given.get("ips"), path)


_READERS: Final[Mapping[str, Callable[[Any, Path], Any]]] = {
    "enabled": _boolean,
    "hostnames": _hostnames,
    "addresses": _addresses,
    "issuers": _issuers,
    "server_cert": _file,
    "server_key": _file,
    "ca_cert": _file,
    "trusted_dir": _file,  # this and the next are of Forgather 1.x
    "san": _san,
}
_OFFERED: Final = tuple(key for key in _READERS if key not in {"trusted_dir", "san"})
