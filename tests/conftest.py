"""Small repositories for the tests of the tools."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tools.workspace import Workspace, load_workspace

_MANIFEST = """[project]
name = "{name}"
dependencies = [{dependencies}]
optional-dependencies = {{ {extras} }}
"""


@pytest.fixture
def repository(tmp_path: Path) -> Callable[..., Workspace]:
    """Builds a workspace from `name=(requirements, source of __init__.py)`; names are written with underscores."""

    def build(arrows: str = "", extras: str = "", **members: tuple[list[str], str]) -> Workspace:
        for import_name, (requirements, source) in members.items():
            name = import_name.replace("_", "-")
            package = tmp_path / "packages" / name / "src" / import_name
            package.mkdir(parents=True)
            package.joinpath("__about__.py").write_text('__version__ = "0.1.4"\n')
            package.joinpath("__init__.py").write_text(source)
            dependencies = ", ".join(f'"{line}"' for line in requirements)
            manifest = _MANIFEST.format(name=name, dependencies=dependencies, extras=extras)
            (tmp_path / "packages" / name / "pyproject.toml").write_text(manifest)
        checks = tmp_path / "tools" / "checks"
        checks.mkdir(parents=True)
        checks.joinpath("arrows.toml").write_text(arrows)
        checks.joinpath("ratchets.json").write_text(
            '{"long_files": {}, "long_functions": {}, "type_suppressions": 0, "broad_excepts": 0}\n'
        )
        return load_workspace(tmp_path)

    return build
