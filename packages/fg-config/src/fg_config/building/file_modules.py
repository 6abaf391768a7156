"""Python files as modules, keyed by absolute path, so that equal base names never meet and no library is hidden."""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import os
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import Final

from fg_config.errors import GraphError
from fg_config.hints import nearest
from fg_config.nodes import Span

_PREFIX: Final = "fg_file_"
_MODULE_NAME: Final = re.compile(rf"\b{_PREFIX}\w+\.")


def load_file(path: Path, searchpath: Sequence[str | Path] = (), span: Span | None = None) -> ModuleType:
    """Import the Python file at `path`, once per content.

    With `searchpath` the module may use `from .sibling import …` for files of those directories, which then share one
    package. A file whose import fails leaves nothing behind.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        message = f"cannot read {str(path)!r}: {error.strerror}"
        beside = [found.name for found in path.parent.glob("*.py")] if path.parent.is_dir() else []
        help = nearest(path.name, beside, f"files in {path.parent}") or "relative files are relative to the project"
        raise GraphError(message, code="FG0411", span=span, help=help) from error
    directories = [os.path.normpath(Path(place).absolute()) for place in searchpath]
    name = _module_name(os.path.normpath(path.absolute()), directories, content)
    if name in sys.modules:
        return sys.modules[name]
    importlib.invalidate_caches()  # the files may have been written a moment ago
    spec = importlib.util.spec_from_file_location(name, path, submodule_search_locations=directories or None)
    assert spec is not None and spec.loader is not None  # a path that ends in .py always has a loader
    module = sys.modules[name] = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except BaseException as error:  # Ctrl-C too must not leave a half-initialised module behind
        if isinstance(error, ImportError) and _is_about_sibling(error, name):
            places = f"looked in {', '.join(directories)}" if directories else "it has none"
            error.add_note(f"{path} imports siblings from the directories of its `submodule_searchpath`; {places}")
        for loaded in [other for other in sys.modules if other == name or other.startswith(f"{name}.")]:
            del sys.modules[loaded]
        raise
    return module


def without_module_names(text: str) -> str:
    """`text`, such as a signature, without the names that files have as modules; only we know them."""
    return _MODULE_NAME.sub("", text)


def _is_about_sibling(error: ImportError, name: str) -> bool:
    """Whether the module `name` failed to import something relative to itself. Without a package, Python names none."""
    return f"{error.name}.".startswith(f"{name}.") or "no known parent package" in str(error)


def is_file_module(name: str) -> bool:
    """Whether `name` is, or lies in, a module that `load_file` made."""
    return name.startswith(_PREFIX)


def _module_name(path: str, directories: Sequence[str], content: bytes) -> str:
    key = "\0".join([path, *directories]).encode() + b"\0" + content
    stem = "".join(character if character.isalnum() else "_" for character in Path(path).stem)
    return f"{_PREFIX}{stem}_{hashlib.blake2b(key, digest_size=8).hexdigest()}"
