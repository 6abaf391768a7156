"""Who listens where, and with which token file: records that servers leave for commands and for each other.

    <config dir>/<service>/<port>.json        beside the token file of the server
    <config dir>/jobs/<job id>/endpoint.json  of what runs as part of a job

A record is as private as a token, and counts only while the process that wrote it runs. Records of servers that were
killed are ignored by readers and removed by the next server of the service, or the next job: a reader that removed them
could take away what a server has just written.
"""

from __future__ import annotations

import json
import logging
import os
import re
import stat
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final, TypeVar

from fg_config.files import atomic_write, private_directory
from fg_config.paths import config_dir
from fg_tls.errors import EndpointError, StoreError
from fg_tls.host.processes import ProcessMark

logger = logging.getLogger(__name__)

T = TypeVar("T")

_LARGEST: Final = 64 * 2**10
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """A server that accepts requests, as it describes itself."""

    service: str
    host: str  # the address it is bound to
    port: int
    tls: bool
    urls: tuple[str, ...] = ()  # without a slash at the end, the best one first
    token_file: Path | None = None
    job: str | None = None
    name: str = ""
    process: ProcessMark = field(default_factory=ProcessMark.own)

    @property
    def path(self) -> Path:
        """Where its record is kept."""
        if self.job is not None:
            return config_dir() / "jobs" / _name(self.job) / "endpoint.json"
        return service_directory(self.service) / f"{self.port}.json"

    @property
    def neighbours(self) -> tuple[Path, str]:
        """The directory that records of its kind share, and the pattern of their paths in it."""
        if self.job is not None:
            return config_dir() / "jobs", "*/endpoint.json"
        return self.path.parent, "*.json"

    @property
    def alive(self) -> bool:
        """Whether the process that serves it runs."""
        return self.process.alive


@contextmanager
def announced(endpoint: Endpoint) -> Iterator[Endpoint]:
    """Keep the record of `endpoint` for as long as the context lasts.

    Raises:
        EndpointError: it cannot be written.
    """
    path = endpoint.path
    data = _to_json(endpoint)
    try:
        private_directory(path.parent)
        directory, pattern = endpoint.neighbours
        with _locked(directory):
            _sweep(directory, pattern)
            atomic_write(path, data, mode=0o600)
    except OSError as error:
        raise EndpointError(
            f"cannot write {path}: {error.strerror}; make {config_dir()} writable, or name another directory with "
            "FORGATHER_CONFIG_DIR"
        ) from error
    except StoreError as error:
        raise EndpointError(str(error)) from error
    try:
        yield endpoint
    finally:
        _withdraw(path, data, directory)


def endpoints(service: str | None = None) -> list[Endpoint]:
    """The servers of this user that run on this machine, by service and port; files that are no record are skipped.

    Raises:
        EndpointError: `service` is no name of a service.
    """
    directory = config_dir()
    files = [*directory.glob(f"{_name(service) if service else '*'}/*.json"), *directory.glob("jobs/*/endpoint.json")]
    found = [endpoint for path in files if (endpoint := _read(path)) is not None and endpoint.alive]
    wanted = (each for each in found if service is None or each.service == service)
    return sorted(wanted, key=lambda each: (each.service, each.port, each.job or ""))


def find(*, service: str | None = None, port: int | None = None, job: str | None = None) -> Endpoint:
    """The one server that fits.

    Raises:
        EndpointError: there is none, or several.
    """
    known = {"service": service, "port": port, "job": job}
    asked = {name: value for name, value in known.items() if value is not None}
    fitting = [
        each for each in endpoints(service) if all(getattr(each, name) == value for name, value in asked.items())
    ]
    if len(fitting) == 1:
        return fitting[0]
    wanted = " with " + ", ".join(f"{name} {value}" for name, value in asked.items()) if asked else ""
    if not fitting:
        raise EndpointError(f"no server{wanted} runs on this machine; start one, or say where it is")
    places = ", ".join(f"{each.service} on port {each.port}" for each in fitting)
    raise EndpointError(f"{len(fitting)} servers{wanted} run on this machine ({places}); say which one is meant")


def service_directory(service: str) -> Path:
    """Where the records and tokens of a service are kept.

    Raises:
        EndpointError: `service` is no name of a service, and could be a directory of somebody else.
    """
    return config_dir() / _name(service)


def _name(text: str) -> str:
    if not _NAME.fullmatch(text):
        raise EndpointError(f"{text!r} cannot name a service or a job; use letters, digits, dots, hyphens, underscores")
    return text


# --- files ------------------------------------------------------------------------------------------------------------


def _to_json(endpoint: Endpoint) -> str:
    fields = asdict(endpoint) | {"token_file": str(endpoint.token_file) if endpoint.token_file else None}
    return json.dumps(fields, indent=2) + "\n"


def _read(path: Path) -> Endpoint | None:
    """The record in `path`; None when there is none that we wrote, and nobody else can have changed."""
    try:
        text = _private_text(path)
        return None if text is None else _from_json(json.loads(text))
    except (OSError, ValueError, TypeError, KeyError, RecursionError):
        return None


def _private_text(path: Path) -> str | None:
    fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    try:
        found = os.fstat(fd)
        private = found.st_uid == os.geteuid() and not stat.S_IMODE(found.st_mode) & 0o077
        if not (private and stat.S_ISREG(found.st_mode) and found.st_size <= _LARGEST):
            return None
        with os.fdopen(fd, encoding="utf-8", closefd=False) as stream:  # it would leave a directory open
            return stream.read()
    finally:
        os.close(fd)


def _from_json(fields: Mapping[str, Any]) -> Endpoint:
    process = fields["process"]
    token_file = fields.get("token_file")
    return Endpoint(
        service=_typed(str, fields["service"]),
        host=_typed(str, fields["host"]),
        port=_typed(int, fields["port"]),
        tls=_typed(bool, fields["tls"]),
        urls=tuple(_typed(str, url) for url in fields["urls"]),
        token_file=None if token_file is None else Path(token_file),
        job=None if fields.get("job") is None else _typed(str, fields["job"]),
        name=_typed(str, fields.get("name", "")),
        process=ProcessMark(
            pid=_positive(process["pid"]),
            started=_typed(float, process["started"]),
            machine=_typed(str, process["machine"]),
            boot=_typed(str, process["boot"]),
            space=_typed(str, process["space"]),
        ),
    )


def _typed(kind: type[T], value: Any) -> T:
    if type(value) is not kind:
        raise TypeError(f"{value!r} is not {kind.__name__}")
    return value


def _positive(value: Any) -> int:
    number = _typed(int, value)
    if number <= 0:
        raise ValueError(f"{number} is not positive")
    return number


def _withdraw(path: Path, data: str, directory: Path) -> None:
    """Remove our own record, but not that of a server which has taken its place since.

    What cannot be removed is left: nobody believes it once this process has ended, and the server has served its time.
    """
    if not path.parent.is_dir():
        return
    try:
        with _locked(directory):
            if path.is_file() and path.read_text("utf-8", "replace") == data:
                path.unlink()
    except (OSError, StoreError) as error:
        logger.warning("cannot remove %s: %s", path, error)


def _sweep(directory: Path, pattern: str) -> None:
    for path in directory.glob(pattern):
        endpoint = _read(path)
        if endpoint is not None and endpoint.process.ended:
            path.unlink(missing_ok=True)


def _locked(directory: Path) -> AbstractContextManager[None]:
    """Let no other server write or remove a record in `directory` meanwhile."""
    from fg_tls.host.locks import FileLock  # imported here: it needs fcntl, which other systems do not have

    return FileLock(directory / ".lock").held()
