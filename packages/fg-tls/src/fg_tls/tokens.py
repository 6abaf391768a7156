"""Bearer tokens in files that only their owner can read."""

from __future__ import annotations

import hashlib
import hmac
import secrets
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from fg_config.files import atomic_write, private_directory
from fg_config.paths import config_dir
from fg_tls.errors import TokenFileError
from fg_tls.identity import Peer

_BYTES: Final = 32
_SHORTEST: Final = 32  # characters; half of what we generate


def token_path(service: str, port: int) -> Path:
    """Where the server `service` on `port` keeps its own token: `<config dir>/<service>/<port>.token`."""
    return config_dir() / service / f"{port}.token"


def read_token(path: Path) -> str:
    """The first token of a file, for a client.

    Raises:
        TokenFileError: no such file, readable by others, or no usable token in it.
    """
    return next(iter(_read(path)))


class TokenStore:
    """The tokens that a server accepts.

    Without a path, a fresh token is written to `token_path(service, port)` when the server starts, and removed when it
    ends. With a path, the tokens of that file hold: one on each line, followed by the scopes it is limited to, if any.

    Raises:
        TokenFileError: the given file is missing, readable by others, or holds no usable token.
    """

    def __init__(self, path: Path | None = None) -> None:
        self._given = path
        self._peers = {} if path is None else _digests(path)

    @contextmanager
    def opened(self, *, service: str, port: int) -> Iterator[Path]:
        """Have a token file for as long as the context lasts; gives its path."""
        if self._given is not None:
            yield self._given
            return
        path = _write_fresh(token_path(service, port))
        self._peers = _digests(path)
        try:
            yield path
        finally:
            self._remove(path)
            self._peers = {}

    def peer(self, presented: bytes) -> Peer | None:
        """Whose token `presented` is; None for nobody's.

        Takes the same time for every wrong token: digests are compared, all of them, byte for byte to the end.
        """
        found = None
        digest = _digest(presented)
        for known, peer in self._peers.items():
            if hmac.compare_digest(known, digest):
                found = peer
        return found

    def _remove(self, path: Path) -> None:
        """Remove our own file, but not that of a server which has taken the port since."""
        if path.is_file() and _digest(path.read_bytes().strip()) in self._peers:
            path.unlink()


def _write_fresh(path: Path) -> Path:
    private_directory(path.parent)
    atomic_write(path, secrets.token_hex(_BYTES) + "\n", mode=0o600)
    return path


def _read(path: Path) -> dict[str, Peer]:
    if not path.is_file():
        raise TokenFileError(f"no token file {path}; write one with `(umask 077; openssl rand -hex 32 > {path})`")
    mode = stat.S_IMODE(path.stat().st_mode)
    if mode & 0o077:
        raise TokenFileError(f"{path} can be read by others (mode {mode:04o}); run `chmod 600 {path}`")
    lines = [line.split() for line in path.read_text("utf-8", "replace").splitlines() if line.strip()]
    weak = [number for number, words in enumerate(lines, 1) if len(words[0]) < _SHORTEST or not words[0].isascii()]
    if weak or not lines:
        where = f"entry {weak[0]} of {path}" if weak else f"{path} is empty and"
        raise TokenFileError(f"{where} is no token; write at least {_SHORTEST} ASCII characters (openssl rand -hex 32)")
    return {text: Peer(scopes=frozenset(scopes) if scopes else None) for text, *scopes in lines}


def _digests(path: Path) -> dict[bytes, Peer]:
    return {_digest(text.encode()): peer for text, peer in _read(path).items()}


def _digest(text: bytes) -> bytes:
    return hashlib.sha256(text).digest()
