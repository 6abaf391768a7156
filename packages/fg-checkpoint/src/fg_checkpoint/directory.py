"""The names inside a checkpoint root, who may write there, and what may be deleted.

    checkpoint-500                  committed: its manifest was written before it got this name
    checkpoint-500.tmp-<token>      being written, or being deleted; never read
    checkpoint-500.replaced-<token> an older save of the same step, for the moment between two renames

One process at a time saves into a root (an advisory lock on the directory, released by the kernel when the
process dies). Its holder therefore knows that every `.tmp-<token>` in there was left by a save that was killed.
"""

from __future__ import annotations

import errno
import fcntl
import logging
import os
import re
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from fg_checkpoint.errors import SaveError
from fg_checkpoint.manifest import FILE_NAME
from fg_config.files import fsync_directory

logger = logging.getLogger(__name__)

_COMMITTED = re.compile(r"checkpoint-(0|[1-9]\d*)(\.replaced-[0-9a-f]{16})?")
_TEMPORARY = re.compile(r"checkpoint-\d+\.tmp-[0-9a-f]{16}")
_NO_LOCKS = {errno.ENOLCK, errno.EBADF, errno.ENOTSUP, errno.EINVAL, errno.ENOSYS}


def committed_directories(root: Path) -> dict[int, Path]:
    """Step → directory of each committed checkpoint in `root`, ascending.

    Directories without a manifest are not ours. A replaced checkpoint counts while nothing has its name: that is
    the state a kill leaves between the two renames of a replacement.
    """
    found: dict[int, Path] = {}
    if not root.is_dir():
        return found
    for path in sorted(root.iterdir(), key=lambda path: path.name, reverse=True):  # "checkpoint-5" after ".replaced"
        match = _COMMITTED.fullmatch(path.name)
        if match and (path / FILE_NAME).is_file():
            found[int(match[1])] = path
    return dict(sorted(found.items()))


@contextmanager
def exclusive(root: Path) -> Iterator[bool]:
    """Hold `root` for one save; yields False where the file system has no locks.

    Raises:
        SaveError: another process holds it.
    """
    descriptor = os.open(root, os.O_RDONLY)
    try:
        locked = _lock(descriptor, root)
        try:
            yield locked
        finally:
            # Explicitly, since a data-loader worker forked during the save inherited the descriptor.
            if locked:
                fcntl.flock(descriptor, fcntl.LOCK_UN)
    finally:
        os.close(descriptor)


def new_temporary(root: Path, step: int) -> Path:
    """Create the directory in which the checkpoint of `step` is going to be written.

    Raises:
        SaveError: something that is no checkpoint of ours has the final name.
    """
    final = root / f"checkpoint-{step}"
    if final.exists() and not (final / FILE_NAME).is_file():
        raise SaveError(f"{final} exists and has no {FILE_NAME}, so it is not ours to replace: move it away")
    temporary = root / f"checkpoint-{step}.tmp-{secrets.token_hex(8)}"
    temporary.mkdir()
    return temporary


def commit(temporary: Path) -> Path:
    """Give a complete temporary directory its final name; an older save of the same step makes room."""
    root = temporary.parent
    final = root / temporary.name.partition(".")[0]
    replaced = root / f"{final.name}.replaced-{secrets.token_hex(8)}"
    fsync_directory(temporary)
    if final.exists():
        final.rename(replaced)
    temporary.rename(final)
    fsync_directory(root)
    if replaced.exists():
        delete(replaced)
    return final


def delete(checkpoint: Path) -> None:
    """Delete a committed checkpoint; a kill in the middle leaves a temporary directory, not half a checkpoint."""
    temporary = checkpoint.with_name(f"{checkpoint.name.partition('.')[0]}.tmp-{secrets.token_hex(8)}")
    checkpoint.rename(temporary)
    _remove(temporary)


def _remove(temporary: Path) -> None:
    """Delete a directory; of a link (to a checkpoint that somebody moved to another disk) only the link."""
    if temporary.is_symlink():
        temporary.unlink()
    else:
        shutil.rmtree(temporary)


def clear_up(root: Path) -> None:
    """Delete what killed saves left in `root`, and finish what they had begun. The caller holds the lock."""
    committed = set(committed_directories(root).values())
    for path in list(root.iterdir()):
        if _TEMPORARY.fullmatch(path.name):
            logger.info("removing %s, left by a save that was killed", path)
            _remove(path)
        elif path in committed and ".replaced-" in path.name:
            path.rename(root / path.name.partition(".")[0])  # killed between two renames: the old one is still it
        elif _COMMITTED.fullmatch(path.name) and path not in committed and (path / FILE_NAME).is_file():
            delete(path)  # killed after them: it has been replaced


def _lock(descriptor: int, root: Path) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise SaveError(
            f"another process is saving into {root} (a second training with this output directory, "
            "or a worker that a killed one left behind): stop it, or choose another output directory"
        ) from None
    except OSError as error:
        if error.errno not in _NO_LOCKS:
            raise
        logger.warning("%s is on a file system without locks: left-over temporary directories stay", root)
        return False
    return True
