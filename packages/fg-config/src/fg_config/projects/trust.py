"""The directories that the user trusts: `trusted.json` in the user's configuration directory.

Trust holds for everything below a directory, by real path: a symbolic link that takes its place, or a copy elsewhere,
is not trusted. No environment variable and nothing inside a project can add to the list.
"""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from fg_config.errors import ProjectError
from fg_config.files import atomic_write, private_directory
from fg_config.hints import nearest
from fg_config.paths import config_dir

TRUST_FILE: Final = "trusted.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class TrustedDirectory:
    """A directory that is trusted, and since when (ISO 8601, UTC)."""

    path: Path
    since: str


def trusted_directories() -> tuple[TrustedDirectory, ...]:
    """What the user trusts, by path. Raises `ProjectError` when the record is damaged or others may write it."""
    path = config_dir() / TRUST_FILE
    if not path.exists():
        return ()
    check_private(path)
    try:
        entries = json.loads(path.read_text(encoding="utf-8"))["directories"]
        found = [TrustedDirectory(path=Path(entry["path"]), since=entry["since"]) for entry in entries]
    except (ValueError, TypeError, LookupError) as error:
        help = "delete it and trust the directories again"
        raise ProjectError(f"{path} is no record of trust: {error!r}", code="FG0660", help=help) from error
    return tuple(sorted(found, key=lambda entry: entry.path))


def is_trusted(path: Path) -> bool:
    """Whether `path`, with symbolic links resolved, is a trusted directory or lies below one."""
    return trusting_directory(path) is not None


def trusting_directory(path: Path) -> Path | None:
    """The trusted directory that `path` is or lies below."""
    place = path.resolve()
    return next((each.path for each in trusted_directories() if place.is_relative_to(each.path)), None)


def add_trust(directory: Path) -> Path:
    """Trust `directory` and return its real path. Raises `ProjectError` when it is no directory."""
    place = directory.expanduser().resolve()
    if not place.is_dir():
        raise ProjectError(f"no such directory: {place}", code="FG0661", help="trust is given to directories")
    now = datetime.now(UTC).isoformat(timespec="seconds")
    with _one_at_a_time():
        others = [each for each in trusted_directories() if each.path != place]
        _write([*others, TrustedDirectory(path=place, since=now)])
    return place


def remove_trust(directory: Path) -> Path:
    """Trust `directory` no more and return its path. Raises `ProjectError` when it is not in the record."""
    # A directory that is gone, or became a link, is named as it was recorded.
    names = (directory.expanduser().resolve(), directory.expanduser().absolute())
    with _one_at_a_time():
        entries = trusted_directories()
        known = {each.path for each in entries}
        place = next((name for name in names if name in known), None)
        if place is not None:
            _write([each for each in entries if each.path != place])
            return place
    above = trusting_directory(directory.expanduser())
    help = f"it is trusted because {above} is" if above else nearest(str(names[0]), map(str, known), "directories")
    raise ProjectError(f"{names[0]} is not in the record of trust", code="FG0662", help=help)


def check_private(path: Path) -> None:
    """Refuse a file that others than the user may write. Raises `ProjectError`."""
    status = path.stat()
    if os.name == "posix" and (status.st_uid not in (os.getuid(), 0) or status.st_mode & (stat.S_IWGRP | stat.S_IWOTH)):
        help = f"make it yours alone: chmod 600 {path}"
        raise ProjectError(f"{path} can be changed by other users, so it decides nothing", code="FG0663", help=help)


@contextmanager
def _one_at_a_time() -> Iterator[None]:
    """Two changes that read the same record would each lose what the other writes."""
    with (private_directory(config_dir()) / f".{TRUST_FILE}.lock").open("w") as lock:
        if os.name == "posix":
            import fcntl  # imported here: there is none on other systems

            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _write(entries: list[TrustedDirectory]) -> None:
    ordered = sorted(entries, key=lambda entry: entry.path)
    record: dict[str, Any] = {"directories": [{"path": str(each.path), "since": each.since} for each in ordered]}
    atomic_write(config_dir() / TRUST_FILE, json.dumps(record, indent=2) + "\n", mode=0o600)
