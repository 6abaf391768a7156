"""Tokens with a name and limits, one for each program or person, in `<config dir>/<service>/tokens.yaml`.

The file holds their SHA-256 alone. That is enough for 256 random bits: a slow hash protects what people think up.
Running servers read the file again when it changes.
"""

from __future__ import annotations

import hashlib
import re
import secrets
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import yaml

from fg_config.files import atomic_write, private_directory
from fg_tls.clock import SYSTEM, Clock
from fg_tls.endpoints import service_directory
from fg_tls.errors import TokenFileError
from fg_tls.host.locks import FileLock

_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@-]{0,63}")
_SCOPE: Final = re.compile(r"[\x21\x23-\x5b\x5d-\x7e]{1,64}")  # scope-token of RFC 6749 section 3.3
_SHA256: Final = re.compile(r"[0-9a-f]{64}")
_KEYS: Final = {"name", "sha256", "scopes", "created", "expires"}


@dataclass(frozen=True, slots=True, kw_only=True)
class NamedToken:
    """What is kept of a token: everything but the token; times are aware and in UTC."""

    name: str
    sha256: str  # hexadecimal
    scopes: frozenset[str] | None  # None: all of them
    created: datetime
    expires: datetime | None = None


def named_tokens_path(service: str) -> Path:
    """Where the named tokens of a service are kept."""
    return service_directory(service) / "tokens.yaml"


def add_token(
    service: str,
    name: str,
    scopes: Iterable[str] | None = None,
    *,
    expires: datetime | None = None,
    clock: Clock = SYSTEM,
) -> str:
    """A new token, which cannot be shown again; `scopes` None is all of them, `expires` None is never.

    Raises:
        TokenFileError: the name is taken, name, scopes or time cannot be used, or the file is damaged.
    """
    limits = None if scopes is None else frozenset(scopes)
    _check(name, limits)
    if expires is not None and expires <= clock():
        raise TokenFileError(f"the token {name!r} would have run out on {_time(expires)}; give a time to come")
    token = secrets.token_hex(32)
    digest = hashlib.sha256(token.encode()).hexdigest()
    new = NamedToken(name=name, sha256=digest, scopes=limits, created=clock(), expires=expires)
    with _locked(service) as path:
        kept = read_named_tokens(path)
        if any(each.name == name for each in kept):
            raise TokenFileError(f"{path} has a token named {name!r}; remove it first, or choose another name")
        _write(path, [*kept, new])
    return token


def list_tokens(service: str) -> tuple[NamedToken, ...]:
    """The named tokens of a service, oldest first.

    Raises:
        TokenFileError: their file is damaged.
    """
    return read_named_tokens(named_tokens_path(service))


def remove_token(service: str, name: str) -> None:
    """Refuse a named token from now on; connections that it opened end within seconds.

    Raises:
        TokenFileError: there is no token of this name, or the file is damaged.
    """
    with _locked(service) as path:
        found = read_named_tokens(path)
        kept = [each for each in found if each.name != name]
        if len(kept) == len(found):
            known = ", ".join(each.name for each in found) or "none"
            raise TokenFileError(f"{path} has no token named {name!r}; its names: {known}")
        _write(path, kept)


def read_named_tokens(path: Path) -> tuple[NamedToken, ...]:
    """The named tokens in a file; none when it does not exist.

    Raises:
        TokenFileError: it is damaged, or others could write to it.
    """
    try:
        mode, text = path.stat().st_mode, path.read_text("utf-8")
    except FileNotFoundError:
        return ()
    except OSError as error:
        raise TokenFileError(f"cannot read {path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise _damaged(path, str(error)) from error
    if mode & 0o022:
        raise TokenFileError(f"others can write to {path}, and so add tokens of their own; run `chmod 600 {path}`")
    try:
        entries = yaml.safe_load(text)
    except (ValueError, RecursionError, yaml.YAMLError) as error:  # PyYAML lets the ValueError of a 13th month through
        raise _damaged(path, str(error).partition("\n")[0]) from error
    if not isinstance(entries, list):
        raise _damaged(path, "it is not a list")
    return tuple(_entry(each, path) for each in entries)


def _entry(entry: Any, path: Path) -> NamedToken:
    # A key that is left out or misspelt must not give a token more than it was meant to have.
    if not isinstance(entry, dict) or entry.keys() != _KEYS or not _SHA256.fullmatch(str(entry["sha256"])):
        raise _damaged(path, f"each entry has the keys {', '.join(sorted(_KEYS))}")
    scopes = entry["scopes"]
    if not (scopes is None or isinstance(scopes, list)):
        raise _damaged(path, f"the scopes of {entry['name']} are no list")
    try:
        limits = None if scopes is None else frozenset(map(str, scopes))
        _check(str(entry["name"]), limits)
        return NamedToken(
            name=str(entry["name"]),
            sha256=str(entry["sha256"]),
            scopes=limits,
            created=_moment(entry["created"]),
            expires=_moment(entry["expires"]) if entry["expires"] else None,
        )
    except (ValueError, OverflowError) as error:  # TokenFileError is a ValueError
        raise _damaged(path, str(error)) from error


def _check(name: str, scopes: frozenset[str] | None) -> None:
    if not _NAME.fullmatch(name):
        raise TokenFileError(f"{name!r} cannot name a token; write letters, digits and . _ @ -, 64 at most")
    bad = sorted(each for each in scopes or () if not _SCOPE.fullmatch(each))
    if bad:
        raise TokenFileError(f"{bad[0]!r} is no scope; write ASCII characters without spaces, quotes and backslashes")


def _moment(value: Any) -> datetime:
    moment = value if isinstance(value, datetime) else datetime.fromisoformat(str(value))
    # YAML gives times without a zone in UTC.
    return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)


def _time(moment: datetime) -> str:
    return f"{moment.astimezone(UTC):%Y-%m-%d %H:%M} UTC"


def _damaged(path: Path, why: str) -> TokenFileError:
    return TokenFileError(f"{path} is damaged ({why}); correct it, or remove it and issue its tokens again")


def _write(path: Path, tokens: Iterable[NamedToken]) -> None:
    entries = [
        {
            "name": each.name,
            "sha256": each.sha256,
            "scopes": None if each.scopes is None else sorted(each.scopes),
            "created": each.created.isoformat(),
            "expires": each.expires.isoformat() if each.expires else None,
        }
        for each in tokens
    ]
    atomic_write(path, yaml.safe_dump(entries, sort_keys=False), mode=0o600)


@contextmanager
def _locked(service: str) -> Iterator[Path]:
    """The path of the file, while no other process of ours writes it."""
    path = named_tokens_path(service)
    private_directory(path.parent)
    with FileLock(path.with_name("tokens.lock")).held():
        yield path
