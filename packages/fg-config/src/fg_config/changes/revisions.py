"""Git, as far as configs need it: which commit a workspace is at, and its files as they were in another one."""

from __future__ import annotations

import io
import subprocess
import tarfile
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from fg_config.errors import ProjectError


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkspaceState:
    """The commit that is checked out, and whether tracked files below the directory differ from it."""

    commit: str
    modified: bool


def state_of(directory: Path) -> WorkspaceState | None:
    """The state of the repository that `directory` is in; None when there is none, or no git."""
    commit = _output(directory, "rev-parse", "--verify", "--quiet", "HEAD")
    if commit is None:
        return None
    changed = _output(directory, "status", "--porcelain", "--untracked-files=no", "--", ".")
    return WorkspaceState(commit=commit.strip(), modified=bool(changed))


def commit_of(directory: Path, revision: str) -> str | None:
    """The full name of the commit that `revision` means in the repository of `directory`; None when it means none."""
    if revision.startswith("-"):
        return None
    found = _output(directory, "rev-parse", "--verify", "--quiet", f"{revision}^{{commit}}")
    return found.strip() if found else None


@contextmanager
def checked_out(directory: Path, commit: str) -> Iterator[tuple[Path, Path]]:
    """The tracked files of a commit in a temporary directory, and the root of the repository they stand for.

    The working tree, the index and the branches stay as they are. Raises `ProjectError`.
    """
    root = _output(directory, "rev-parse", "--show-toplevel")
    archive = subprocess.run(
        ["git", "-C", (root or str(directory)).strip(), "archive", "--format=tar", commit], capture_output=True
    )
    if root is None or archive.returncode != 0:
        reason = archive.stderr.decode(errors="replace").strip()
        raise ProjectError(f"the files of commit {commit} cannot be read: {reason}", code="FG0651")
    with tempfile.TemporaryDirectory(prefix="forgather-") as temporary:
        with tarfile.open(fileobj=io.BytesIO(archive.stdout)) as files:
            files.extractall(temporary, filter="tar")  # unlike "data", takes links to absolute paths: git tracks them
        yield Path(temporary).resolve(), Path(root.strip())


def _output(directory: Path, *words: str) -> str | None:
    """What git prints; None when it fails or is not installed."""
    try:
        done = subprocess.run(["git", "-C", str(directory), *words], capture_output=True, text=True, check=False)
    except OSError:
        return None
    return done.stdout if done.returncode == 0 else None
