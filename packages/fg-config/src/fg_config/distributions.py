"""Templates and aliases that installed distributions bring along, found without importing any of them.

The entry-point groups `forgather.templates` and `forgather.aliases` name a top-level package and a path inside it
(`fg_trainers:templates`). Only the package's location is looked up; importing it, or a dotted module below it, would
run its code.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final

from fg_config.entry_points import entry_points
from fg_config.errors import ConfigError, ProjectError

TEMPLATES: Final = "forgather.templates"
ALIASES: Final = "forgather.aliases"
SCAFFOLDS: Final = "forgather.scaffolds"
_OWN: Final = {
    TEMPLATES: "fg_config:templates",
    ALIASES: "fg_config:aliases.yaml",
    SCAFFOLDS: "fg_config:scaffold/projects",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Resource:
    """A directory of templates or a file of aliases, and the distribution it belongs to."""

    distribution: str
    path: Path


def resources(group: str) -> list[Resource]:
    """The existing resources of `group`, ordered by distribution name. Ours need no metadata to be found."""
    owners = {_OWN[group]: "fg-config"} | {point.value: point.distribution for point in entry_points(group)}
    located = (_locate(owner, value) for owner, value in sorted((owner, value) for value, owner in owners.items()))
    return [resource for resource in located if resource is not None]


def _locate(distribution: str, value: str) -> Resource | None:
    package, _, relative = value.partition(":")
    if not package or "." in package or not relative or Path(relative).is_absolute():
        raise ProjectError(
            f"distribution {distribution!r} declares {value!r}",
            help="an entry point of this group is 'top_level_package:relative/path'",
        )
    for place in _locations(package):
        path = Path(place) / relative
        if path.exists():
            return Resource(distribution=distribution, path=path)
    return None  # the distribution ships none, or is half uninstalled


def _locations(package: str) -> Iterator[str]:
    """The directories of a top-level package, as the finders of the interpreter know them; nothing is imported."""
    for finder in sys.meta_path:  # what `importlib.util.find_spec` does, without importing it
        spec = finder.find_spec(package, None)
        if spec is not None:
            yield from spec.submodule_search_locations or ()
            return


@cache
def template_directories() -> tuple[Resource, ...]:
    """Template directories of the installed distributions, by distribution name."""
    return tuple(resource for resource in resources(TEMPLATES) if resource.path.is_dir())


def find_template(name: str, directories: tuple[Resource, ...]) -> Path | None:
    """The template `name` of the one distribution that has it. Raises `ProjectError` when two have it."""
    owners = [resource for resource in directories if (resource.path / name).is_file()]
    if len(owners) > 1:
        places = ", ".join(f"{owner.distribution} ({owner.path / name})" for owner in owners)
        raise ProjectError(
            f"template {name!r} is in more than one distribution: {places}",
            help="uninstall one of them, or put a template of that name into the project",
        )
    return owners[0].path / name if owners else None


@cache
def aliases() -> Mapping[str, str]:
    """Import specs that stand for other import specs, from all installed distributions."""
    table: dict[str, str] = {}
    origin: dict[str, Path] = {}
    for resource in resources(ALIASES):
        for spec, target in _read_aliases(resource.path):
            if table.get(spec, target) != target:
                raise ProjectError(f"alias {spec!r} differs between {origin[spec]} and {resource.path}")
            table[spec], origin[spec] = target, resource.path
    return table


def _read_aliases(path: Path) -> Iterator[tuple[str, str]]:
    from fg_config.parsing.loader import (  # imported here: the loader is not needed to find templates
        compose,
        plain_data,
    )

    try:
        data = plain_data(compose(path.read_text(encoding="utf-8")))
    except ConfigError as error:
        raise ProjectError(f"aliases {path} cannot be read: {error.message}") from error
    if data is None:
        return
    if not isinstance(data, dict) or not all(isinstance(word, str) for pair in data.items() for word in pair):
        raise ProjectError(f"aliases {path} must map import specs to import specs")
    yield from data.items()
