"""What is wrong with the configs of a project as files: none, no default one, or one with another suffix."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from fg_config.environment import ConfigEnvironment
from fg_config.errors import ProjectError
from fg_config.hints import nearest
from fg_config.projects.meta import ProjectMeta, config_names, files_with_suffix


def missing_config(meta: ProjectMeta, name: str | None) -> ProjectError:
    """The error for a project that has no config called `name`; without a name, none that it chooses by default."""
    known = config_names(meta.searchdir, meta.config_prefix)
    chosen = name or meta.default_config
    if not chosen or not (known or name):
        return _no_configs(meta)
    origin = "" if name else " (default_config of meta.yaml)"
    span = None if name else meta.places.get("default_config")
    message = f"no config {chosen!r}{origin} in {meta.project_dir}"
    return ProjectError(message, code="FG0604", span=span, help=nearest(chosen, known, "configs"))


def default_problem(meta: ProjectMeta, environment: ConfigEnvironment) -> ProjectError | None:
    """What keeps the default config from being found; None when it is there."""
    chosen = meta.default_config
    if chosen and environment.has_template(f"{meta.config_prefix}/{chosen}"):
        return None
    return missing_config(meta, None)


def ignored_files(meta: ProjectMeta) -> Iterator[Path]:
    """Files that are meant as configs and are none because of their suffix."""
    for directory in meta.searchdir:
        yield from (path for path, _ in files_with_suffix(directory / meta.config_prefix, ".yml"))


def ignored_message(file: Path) -> str:
    """What to say about one of `ignored_files`."""
    return f"{file.name} is ignored: the name of a config ends in .yaml"


def _no_configs(meta: ProjectMeta) -> ProjectError:
    places = ", ".join(str(path / meta.config_prefix) for path in meta.searchdir)
    span = meta.places.get("config_prefix") or meta.places.get("searchdir")
    help = f"looked for *.yaml in {places}"
    return ProjectError(f"{meta.project_dir} has no configs", code="FG0604", span=span, help=help)
