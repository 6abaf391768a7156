"""Compiled templates on disk: a process that starts finds what an earlier one compiled.

Entries are byte code, as in `.pyc` files, and `marshal` trusts what it reads. So they are only taken from a directory
that nobody else can write, and only when their digest fits; anything else is compiled anew and replaced.
"""

from __future__ import annotations

import itertools
import marshal
import os
import stat
import sys
from collections.abc import Iterable
from contextlib import suppress
from functools import cache
from hashlib import blake2b
from pathlib import Path
from typing import Any, Final

import jinja2

from fg_config.files import private_directory
from fg_config.paths import cache_dir

_DIGEST: Final = 16
_LIMIT: Final = 2048
_SUFFIX: Final = ".code"
_temporary = itertools.count()


def key_of(modules: Iterable[str], *parts: object) -> str:
    """The name of an entry: the same text means other code for another Python, Jinja2 or compiler of ours."""
    return _digest(_version(tuple(modules)), repr(parts).encode()).hex()


def load(key: str) -> Any:
    """What was stored under `key`; None when there is nothing, or nothing that can be trusted."""
    directory = _directory()
    if directory is None or not _is_private(directory):
        return None
    try:
        entry = (directory / f"{key}{_SUFFIX}").read_bytes()
    except OSError:
        return None
    digest, payload = entry[:_DIGEST], entry[_DIGEST:]
    return marshal.loads(payload) if digest == _digest(key.encode(), payload) else None


def store(key: str, value: Any) -> None:
    """Store plain values and code under `key`. A cache that cannot be written is no error."""
    directory = _directory()
    if directory is None:
        return
    with suppress(OSError, ValueError):  # a full disk; a constant of a template that is no plain value
        payload = marshal.dumps(value)
        if not directory.exists():
            private_directory(directory)
        if _is_private(directory):
            _sweep(directory)
            _replace(directory / f"{key}{_SUFFIX}", _digest(key.encode(), payload) + payload)


def _directory() -> Path | None:
    root = cache_dir()
    return root and root / "templates"


def _is_private(directory: Path) -> bool:
    """Whether only this user can write into `directory`."""
    try:
        found = directory.stat()
    except OSError:
        return False
    owned = not hasattr(os, "geteuid") or found.st_uid == os.geteuid()
    return owned and not found.st_mode & (stat.S_IWGRP | stat.S_IWOTH)


def _replace(path: Path, data: bytes) -> None:
    """Write in one step, but without waiting for the disk: a torn entry has a wrong digest."""
    temporary = path.with_name(f".{path.stem}.{os.getpid()}.{next(_temporary)}")
    try:
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(data)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


@cache
def _sweep(directory: Path) -> None:
    """Once per process that writes: drop the older half of a cache that has grown too large."""
    entries = list(directory.iterdir())
    if len(entries) < _LIMIT:
        return
    for path in sorted(entries, key=_age)[: len(entries) // 2]:
        path.unlink(missing_ok=True)


def _age(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:  # another process removed it
        return 0.0


@cache
def _version(modules: tuple[str, ...]) -> bytes:
    """What the code depends on besides the text. Sources count by their content, so no number must be remembered."""
    here = Path(__file__).parent
    sources = [(here / f"{name}.py").read_bytes() for name in modules]
    return _digest(
        sys.version.encode(), str(sys.implementation.cache_tag).encode(), jinja2.__version__.encode(), *sources
    )


def _digest(*parts: bytes) -> bytes:
    digest = blake2b(digest_size=_DIGEST)
    for part in parts:
        digest.update(len(part).to_bytes(8, "little"))
        digest.update(part)
    return digest.digest()
