"""Reading files whose owner and mode matter: private keys, and the directory that they are in."""

from __future__ import annotations

import os
import stat
import tempfile
from pathlib import Path
from typing import Final

from fg_tls.errors import StoreError

_ROOT: Final = 0
_READABLE_BY_GROUP: Final = 0o070
_READABLE_BY_OTHERS: Final = 0o007
_WRITABLE_BY_OTHERS: Final = 0o022
_ROOM: Final = 2**16  # bytes; what a host writes when it joins
_LARGEST: Final = 2**20  # bytes; a file of keys and certificates has a few thousand


def read_file(path: Path) -> bytes:
    """The bytes of a regular file.

    Raises:
        StoreError: it is missing, unreadable, or no such file.
    """
    return _read(path, follow=True)[0]


def read_private(path: Path) -> bytes:
    """The bytes of a file of ours that holds a private key: nobody else may read or own it, and it is not a link.

    Raises:
        StoreError: it is unsafe, with the command that makes it safe, or it cannot be read.
    """
    data, found = _read(path, follow=False)
    _refuse_foreign(path, found)
    if found.st_mode & (_READABLE_BY_GROUP | _READABLE_BY_OTHERS):
        raise StoreError(f"{path} holds a private key and is open to other users; run: chmod 600 {path}")
    return data


def read_brought(path: Path) -> bytes:
    """The bytes of a private key that something else renews: links are followed, and root may share it with a group.

    Raises:
        StoreError: everybody can read it, or it cannot be read.
    """
    data, found = _read(path, follow=True)
    shared = 0 if found.st_uid == _ROOT else _READABLE_BY_GROUP
    if found.st_mode & (_READABLE_BY_OTHERS | shared):
        raise StoreError(f"{path} holds a private key and is open to other users; run: chmod 600 {path}")
    return data


def check_room(directory: Path) -> None:
    """Find out whether files could be written to `directory`, which may be still to be made; nothing stays.

    Raises:
        StoreError: they could not.
    """
    try:
        place = next(each for each in (directory, *directory.absolute().parents) if each.exists())
        with tempfile.TemporaryFile(dir=place) as trial:
            trial.write(bytes(_ROOM))
            trial.flush()
    except OSError as error:
        raise StoreError(f"cannot write to {directory}: {error.strerror or error}") from error


def check_directory(path: Path) -> None:
    """Refuse a directory whose files another user could replace; one that does not exist yet is fine.

    Raises:
        StoreError: with what to do.
    """
    try:
        found = path.stat()
    except FileNotFoundError:
        return
    except OSError as error:
        raise StoreError(f"cannot read {path}: {error.strerror}") from error
    if not stat.S_ISDIR(found.st_mode):
        raise StoreError(f"{path} is not a directory; move it away, or set FORGATHER_TLS_DIR to another place")
    _refuse_foreign(path, found)
    if found.st_mode & _WRITABLE_BY_OTHERS:
        raise StoreError(f"other users can write to {path}; run: chmod 700 {path}")


def _read(path: Path, *, follow: bool) -> tuple[bytes, os.stat_result]:
    # Without blocking, so that a named pipe in place of the file cannot hold us.
    flags = os.O_RDONLY | os.O_NONBLOCK | (0 if follow else os.O_NOFOLLOW)
    if not follow and path.is_symlink():
        raise StoreError(
            f"{path} is a symbolic link; put the file itself there, or for a certificate that something else renews "
            "set server_cert and server_key in config.yaml"
        )
    try:
        fd = os.open(path, flags)
        try:
            found = os.fstat(fd)
            if not stat.S_ISREG(found.st_mode) or found.st_size > _LARGEST:
                raise StoreError(f"{path} is not a file of certificates or keys")
            with os.fdopen(fd, "rb", closefd=False) as stream:  # it would leave a directory open, which it refuses
                return stream.read(_LARGEST), found
        finally:
            os.close(fd)
    except OSError as error:
        raise StoreError(f"cannot read {path}: {error.strerror}") from error


def _refuse_foreign(path: Path, found: os.stat_result) -> None:
    if found.st_uid not in (os.geteuid(), _ROOT):
        raise StoreError(
            f"{path} belongs to {_user(found.st_uid)}, and this program runs as {_user(os.geteuid())}; "
            "run it as the owner, or set FORGATHER_TLS_DIR to a directory of your own"
        )


def _user(uid: int) -> str:
    import pwd

    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"user {uid}"
