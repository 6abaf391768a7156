"""An interpreter that sees a distribution as if it were installed alone.

Third-party packages are shared with the running environment by symbolic links, so an isolated interpreter costs a
fraction of a second instead of a second copy of torch. Our own distributions are visible only if they are listed:
the source folder through one `.pth` file, the metadata (entry points) through a link. Undeclared siblings raise
ModuleNotFoundError exactly as they would for a user.
"""

from __future__ import annotations

import os
import sysconfig
import venv
from collections.abc import Iterable
from pathlib import Path

from packaging.utils import canonicalize_name

from tools.workspace import Distribution

_PATH_FILE = "workspace.pth"


def isolated_python(target: Path, *, visible: Iterable[Distribution], workspace_names: Iterable[str]) -> Path:
    """Create the environment in `target` and return its interpreter.

    Args:
        target: a folder that does not exist yet.
        visible: the distributions that the interpreter can import.
        workspace_names: names of all our distributions; those that are not visible lose their metadata too.
    """
    venv.EnvBuilder(with_pip=False, symlinks=os.name != "nt").create(target)
    visible = tuple(visible)
    hidden = set(workspace_names) - {distribution.name for distribution in visible}
    site_packages = Path(_site_folders({"base": str(target), "platbase": str(target)})[0])
    for folder in _site_folders():
        _link_entries(Path(folder), site_packages, hidden)
    lines = "".join(f"{distribution.src}\n" for distribution in visible)
    (site_packages / _PATH_FILE).write_text(lines, encoding="utf-8")
    return Path(sysconfig.get_path("scripts", "venv", {"base": str(target)})) / "python"


def _site_folders(variables: dict[str, str] | None = None) -> list[str]:
    """purelib and platlib, once each (they differ on some distributions of Python)."""
    return list(dict.fromkeys(sysconfig.get_path(key, "venv", variables) for key in ("purelib", "platlib")))


def _link_entries(source: Path, target: Path, hidden: set[str]) -> None:
    for entry in source.iterdir():
        link = target / entry.name
        if _is_shared(entry, hidden) and not link.exists():
            link.symlink_to(entry, target_is_directory=entry.is_dir())


def _is_shared(entry: Path, hidden: set[str]) -> bool:
    # Path files are where editable installs hook in, so none is shared.
    if entry.suffix == ".pth" or entry.name == "__pycache__":
        return False
    if entry.suffix == ".dist-info":
        return canonicalize_name(entry.stem.rsplit("-", 1)[0]) not in hidden
    return True
