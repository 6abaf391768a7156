"""Bearer tokens that a server accepts: its own, those of a file it was given, and named ones."""

from __future__ import annotations

import hashlib
import hmac
import secrets
import stat
from collections.abc import Callable, Hashable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final

from fg_config.files import atomic_write, private_directory
from fg_tls.clock import SYSTEM, Clock
from fg_tls.endpoints import service_directory
from fg_tls.errors import TokenFileError
from fg_tls.listener.identity import Peer
from fg_tls.listener.named_tokens import named_tokens_path, read_named_tokens
from fg_tls.watching import Watched

_BYTES: Final = 32
_SHORTEST: Final = 32  # characters; half of what we generate
_HOW_TO_WRITE: Final = "write at least {shortest} ASCII characters: `(umask 077; openssl rand -hex 32 > {path})`"


def token_path(service: str, port: int) -> Path:
    """Where the server `service` on `port` keeps its own token: `<config dir>/<service>/<port>.token`."""
    return service_directory(service) / f"{port}.token"


def read_token(path: Path) -> str:
    """The first token of a file, for a client.

    Raises:
        TokenFileError: no such file, readable by others, or no usable token in it.
    """
    return next(iter(_read(path, "check the path; a server prints where its token is")))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Known:
    peer: Peer
    expires: datetime | None = None


# What is known, by the SHA-256 of the token.
_Tokens = Mapping[bytes, _Known]


class TokenStore:
    """The tokens that a server accepts; what changes in their files holds from the next request on.

    Without a path, the server has a token of its own in `token_path(service, port)`, which is made when there is none
    or when it shall `regenerate`, and stays for the next start. With a path, the tokens of that file hold: one on each
    line, followed by the scopes it is limited to, if any. Either way the named tokens of the service hold too.

    Raises:
        TokenFileError: the given file is missing, readable by others, or holds no usable token.
    """

    def __init__(self, path: Path | None = None, *, regenerate: bool = False, clock: Clock = SYSTEM) -> None:
        if path is not None and regenerate:
            raise TokenFileError(f"the tokens in {path} are yours; only a server's own token can be regenerated")
        self._given = path
        self._regenerate = regenerate
        self._clock = clock
        self._files = [] if path is None else [_watched(path, _digests)]

    @contextmanager
    def opened(self, *, service: str, port: int, lasting: bool = True) -> Iterator[Path]:
        """Have a token file for as long as the context lasts; gives its path.

        The own token of a server outlives it, so that clients need not be told again, unless it is not `lasting`: a
        port that was picked at random will not come back.

        Raises:
            TokenFileError: the file of an earlier run, or the named tokens, cannot be used.
        """
        path = self._given or token_path(service, port)
        if self._given is None and (self._regenerate or not lasting or not path.exists()):
            _write_fresh(path)
        self._files = [_watched(path, _digests), _watched(named_tokens_path(service), _named)]
        try:
            yield path
        finally:
            if self._given is None and not lasting:
                self._remove(path)
            self._files = []

    def peer(self, presented: bytes) -> Peer | None:
        """Whose token `presented` is; None for nobody's.

        Takes the same time for every wrong token: digests are compared, all of them, byte for byte to the end.
        """
        found = None
        digest = _digest(presented)
        for file in self._files:
            file.changed()
            for known, token in file.value.items():
                if hmac.compare_digest(known, digest):
                    found = token
        if found is None or (found.expires is not None and self._clock() >= found.expires):
            return None
        return found.peer

    def _remove(self, path: Path) -> None:
        """Remove our own file, but not that of a server which has taken the port since."""
        own = self._files[0].value
        if path.is_file() and _digest(path.read_bytes().strip()) in own:
            path.unlink()


def _watched(path: Path, read: Callable[[Path], _Tokens]) -> Watched[_Tokens]:
    return Watched(lambda: read(path), lambda: _stamp(path), what="the tokens that were valid before")


def _stamp(path: Path) -> Hashable:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_ino, found.st_size, found.st_mode


def _write_fresh(path: Path) -> None:
    private_directory(path.parent)
    atomic_write(path, secrets.token_hex(_BYTES) + "\n", mode=0o600)


def _read(path: Path, advice: str = _HOW_TO_WRITE) -> dict[str, Peer]:
    """The tokens of a file; `advice` is what a person can do when there are none."""
    advice = advice.format(shortest=_SHORTEST, path=path)
    lines = [line.split() for line in _private_text(path, advice).splitlines() if line.strip()]
    weak = [number for number, words in enumerate(lines, 1) if len(words[0]) < _SHORTEST or not words[0].isascii()]
    if weak or not lines:
        where = f"entry {weak[0]} of {path}" if weak else f"{path} is empty and"
        raise TokenFileError(f"{where} is no token; {advice}")
    return {text: Peer(scopes=frozenset(scopes) if scopes else None) for text, *scopes in lines}


def _private_text(path: Path, advice: str) -> str:
    try:
        if not path.is_file():
            raise TokenFileError(f"no token file {path}; {advice}")
        mode = stat.S_IMODE(path.stat().st_mode)
        if mode & 0o077:
            raise TokenFileError(f"{path} can be read by others (mode {mode:04o}); run `chmod 600 {path}`")
        return path.read_text("utf-8", "replace")
    except OSError as error:
        raise TokenFileError(f"cannot read {path}: {error.strerror}") from error


def _digests(path: Path) -> _Tokens:
    return {_digest(text.encode()): _Known(peer=peer) for text, peer in _read(path).items()}


def _named(path: Path) -> _Tokens:
    return {
        bytes.fromhex(each.sha256): _Known(peer=Peer(name=each.name, scopes=each.scopes), expires=each.expires)
        for each in read_named_tokens(path)
    }


def _digest(text: bytes) -> bytes:
    return hashlib.sha256(text).digest()
