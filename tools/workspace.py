"""The repository as data: which distributions there are, what each declares and where its source lies."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parent.parent
_MEMBER_FOLDERS = ("packages", "apps")


@dataclass(frozen=True, kw_only=True, slots=True)
class Distribution:
    """One folder with a `pyproject.toml`: `packages/fg-config`, `apps/cli`."""

    name: str
    """Name on a package index, `fg-config`."""
    folder: Path
    version: str
    requirements: tuple[Requirement, ...]
    """What every installation brings."""
    extras: tuple[Requirement, ...] = ()
    """What its optional dependencies add, all of them together."""

    @property
    def import_name(self) -> str:
        return self.name.replace("-", "_")

    @property
    def src(self) -> Path:
        return self.folder / "src"

    @property
    def package(self) -> Path:
        return self.src / self.import_name

    @property
    def is_importable(self) -> bool:
        return (self.package / "__init__.py").is_file()


@dataclass(frozen=True, kw_only=True, slots=True)
class Arrows:
    """What one distribution may import of the others, as the architecture states it."""

    depends_on: tuple[str, ...]
    only_in: dict[str, tuple[str, ...]]
    """A sibling that only some modules may import: sibling name -> dotted module names."""
    dispatches_to: tuple[str, ...]
    """Siblings reached by module name at run time if they are installed: never imported, never required."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Workspace:
    """All distributions below one root folder."""

    root: Path
    distributions: tuple[Distribution, ...]

    def named(self, name: str) -> Distribution:
        """Raises KeyError when there is no such distribution."""
        for distribution in self.distributions:
            if distribution.name == name:
                return distribution
        raise KeyError(name)

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(distribution.name for distribution in self.distributions)

    def siblings(self, distribution: Distribution) -> tuple[str, ...]:
        """Names of our distributions that this one declares, extras included, sorted."""
        lines = (*distribution.requirements, *distribution.extras)
        declared = {canonicalize_name(requirement.name) for requirement in lines}
        return tuple(sorted(declared.intersection(self.names)))

    def visible(self, name: str, extra: Iterable[str] = ()) -> tuple[Distribution, ...]:
        """The distribution and everything of ours that installing it (and `extra`) brings along."""
        found: dict[str, Distribution] = {}
        pending = [name, *extra]
        while pending:
            current = pending.pop()
            if current in found:
                continue
            found[current] = self.named(current)
            pending.extend(self.siblings(found[current]))
        return tuple(found.values())

    def relative(self, path: Path) -> str:
        return path.relative_to(self.root).as_posix()

    def markdown_files(self) -> list[Path]:
        """Every page a reader may meet: the root README, docs/ and what each distribution ships."""
        pages = [self.root / "README.md", *(self.root / "docs").rglob("*.md")]
        for distribution in self.distributions:
            pages += [distribution.folder / "README.md", distribution.folder / "CHANGELOG.md"]
        pages += (self.root / "examples").rglob("README.md")
        return sorted(page for page in pages if page.is_file() and "output_models" not in page.parts)


def counted(number: int, noun: str) -> str:
    """`1 suite`, `2 suites`."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


@cache
def load_workspace(root: Path = ROOT) -> Workspace:
    """Read every member's `pyproject.toml`.

    Raises:
        FileNotFoundError: a member has no `src/<import name>/__about__.py`.
        ValueError: that file has no `__version__`.
    """
    manifests = [path for folder in _MEMBER_FOLDERS for path in sorted((root / folder).glob("*/pyproject.toml"))]
    return Workspace(root=root, distributions=tuple(_read_distribution(path) for path in manifests))


def _read_distribution(manifest: Path) -> Distribution:
    project = tomllib.loads(manifest.read_text(encoding="utf-8"))["project"]
    extras = [line for lines in project.get("optional-dependencies", {}).values() for line in lines]
    return Distribution(
        name=project["name"],
        folder=manifest.parent,
        version=_read_version(manifest.parent / "src" / project["name"].replace("-", "_") / "__about__.py"),
        requirements=tuple(Requirement(line) for line in project.get("dependencies", ())),
        extras=tuple(Requirement(line) for line in extras),
    )


def _read_version(path: Path) -> str:
    match = re.search(r'^__version__\s*=\s*"([^"]+)"', path.read_text(encoding="utf-8"), re.MULTILINE)
    if match is None:
        raise ValueError(f'{path}: no line of the form __version__ = "1.2.3"')
    return match[1]


def load_arrows(workspace: Workspace) -> dict[str, Arrows]:
    """Read `tools/checks/arrows.toml` of the workspace: distribution name -> what it may import."""
    path = workspace.root / "tools" / "checks" / "arrows.toml"
    table = tomllib.loads(path.read_text(encoding="utf-8"))
    return {name: _read_arrows(entry, workspace.names) for name, entry in table.items()}


def _read_arrows(entry: dict[str, object], names: tuple[str, ...]) -> Arrows:
    unknown = set(entry) - {"depends_on", "only_in", "dispatches_to"}
    if unknown:
        raise ValueError(f"arrows.toml: unknown keys {sorted(unknown)}")
    depends_on, only_in, dispatches_to = (entry.get(key) for key in ("depends_on", "only_in", "dispatches_to"))
    return Arrows(
        depends_on=tuple(depends_on) if isinstance(depends_on, list) else (),
        only_in={key: tuple(value) for key, value in only_in.items()} if isinstance(only_in, dict) else {},
        dispatches_to=names if dispatches_to == "all" else (),
    )
