"""Import the Python files of a model directory as a package of their own."""

from __future__ import annotations

import hashlib
import importlib
import sys
from pathlib import Path
from types import ModuleType


def import_source(directory: Path, module: str, digest: str) -> ModuleType:
    """Import `<directory>/<module>.py`, whose relative imports resolve in the same directory.

    The package is named after the directory and `digest`, the hash of its content: a rebuilt directory gives new
    modules, and two directories never see each other's. This runs the code in the directory.
    """
    key = hashlib.sha256(f"{directory}\0{digest}".encode()).hexdigest()[:16]
    package_name = f"fg_model_source_{key}"
    if package_name not in sys.modules:
        package = ModuleType(package_name)
        package.__path__ = [str(directory)]
        sys.modules[package_name] = package
    importlib.invalidate_caches()  # the files may be younger than the finder's listing of the directory
    return importlib.import_module(f"{package_name}.{module}")
