"""A new config or template of an existing project."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from fg_config.environment import ConfigEnvironment
from fg_config.errors import ConfigError, ProjectError
from fg_config.hints import nearest
from fg_config.projects.meta import ProjectMeta, config_names
from fg_config.projects.project import Project
from fg_config.projects.workspace import WORKSPACE
from fg_config.scaffold.files import checked_template_name, quoted, text_of, write_new

NewKind = Literal["config", "project", "ws"]


def create_template(meta: ProjectMeta, name: str, kind: NewKind, copy_from: str | None) -> Path:
    """Write a config (`config`), or a template of the project or of the workspace, and return its file.

    `copy_from` names a config or template of the project, or a file. Raises `ProjectError`, and then writes nothing.
    """
    file = _place(meta, kind) / checked_template_name(name)
    text = _start(meta, name, kind) if copy_from is None else _text_of(meta, copy_from)
    write_new({file: text})
    return file


def _place(meta: ProjectMeta, kind: NewKind) -> Path:
    if kind == "ws":
        return meta.workspace_root / WORKSPACE
    if not meta.searchdir:
        span, help = meta.places.get("searchdir"), "write `searchdir: [ templates ]`"
        raise ProjectError("the project searches no directory of its own", code="FG0603", span=span, help=help)
    return meta.searchdir[0] / (meta.config_prefix if kind == "config" else "")


def _text_of(meta: ProjectMeta, source: str) -> str:
    environment = ConfigEnvironment(meta.search_path)
    for name in (f"{meta.config_prefix}/{source}", source):
        file = environment.find_template(name)
        if file is not None:
            return text_of(file)
    if Path(source).is_file():
        return text_of(Path(source))
    known = [*config_names(meta.searchdir, meta.config_prefix), *environment.template_names()]
    raise ProjectError(f"nothing to copy: no config, template or file {source!r}", help=nearest(source, known))


def _start(meta: ProjectMeta, name: str, kind: NewKind) -> str:
    """A config that extends the project's default config, as far as there is one; other templates start empty."""
    if kind != "config" or meta.default_config is None:
        return f"## {name}\n"
    lines = ["## What differs from the default config.", f"-- extends '{meta.config_prefix}/{meta.default_config}'"]
    if _has_metadata(meta):
        title = quoted(Path(name).stem.replace("_", " ").capitalize(), "the name")
        lines += ["", "[config_metadata]", "    == super()", f"    -- set ns.config_name = {title}"]
    return "\n".join([*lines, ""])


def _has_metadata(meta: ProjectMeta) -> bool:
    try:
        templates = Project(meta.default_config, meta.project_dir).render.loaded.values()
    except ConfigError:
        return False  # a default config that cannot be read can be extended all the same
    return any("config_metadata" in template.facts.block_names for template in templates)
