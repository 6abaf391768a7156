"""A new config or template of an existing project."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final, Literal

from fg_config.environment import ConfigEnvironment
from fg_config.errors import ConfigError, ProjectError
from fg_config.hints import nearest
from fg_config.projects.meta import ProjectMeta, config_names
from fg_config.projects.project import Project
from fg_config.projects.workspace import WORKSPACE
from fg_config.rendering.facts import TemplateFacts
from fg_config.rendering.source import split_source
from fg_config.scaffold.files import checked_template_name, quoted, text_of, write_new

NewKind = Literal["config", "project", "ws"]
_MODEL_SET: Final = re.compile(r"\s*--\s*set\s+ns\.model_name\s*=")


def create_template(meta: ProjectMeta, name: str, kind: NewKind, copy_from: str | None) -> Path:
    """Write a config (`config`), or a template of the project or of the workspace, and return its file.

    `copy_from` names a config or template of the project, or a file. A config gets an `ns.model_name` of its own where
    the project has such names: runs of two configs must not end in one directory. Raises `ProjectError`, and then
    writes nothing.
    """
    file = _place(meta, kind) / checked_template_name(name)
    text = _start(meta, name, kind) if copy_from is None else _text_of(meta, copy_from)
    if kind == "config" and copy_from is not None:
        text = _with_own_model(text, _model_name(meta, name))
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
    facts = _facts_behind(meta)
    if any("config_metadata" in template.block_names for template in facts):
        title = quoted(Path(name).stem.replace("_", " ").capitalize(), "the name")
        lines += ["", "[config_metadata]", "    == super()", f"    -- set ns.config_name = {title}"]
        if any(_sets_model_name_as_metadata(template) for template in facts):
            lines += [
                "## Names the directory below output_models/.",
                f"    -- set ns.model_name = {_model_name(meta, name)}",
            ]
    return "\n".join([*lines, ""])


def _facts_behind(meta: ProjectMeta) -> list[TemplateFacts]:
    """The facts of all templates of the default config."""
    try:
        return [template.facts for template in Project(meta.default_config, meta.project_dir).render.loaded.values()]
    except ConfigError:
        return []  # a default config that cannot be read can be extended all the same


def _sets_model_name_as_metadata(facts: TemplateFacts) -> bool:
    places = [facts.block_at(fact.line) for fact in facts.sets if fact.target == "ns.model_name"]
    return any(block is not None and block.name == "config_metadata" for block in places)


def _model_name(meta: ProjectMeta, name: str) -> str:
    """An expression for `ns.model_name`; with the project's name in front, it is not the name of its first model."""
    own = re.sub(r"\W+", "_", f"{meta.project_dir.name}_{name.removesuffix('.yaml')}")
    return f'model_name | default("{own}")'


def _with_own_model(text: str, value: str) -> str:
    """The text of a config, whose own `ns.model_name` is another. Those of its sub-templates name other things."""
    lines = text.splitlines(keepends=True)
    below = [source.first_line for source in split_source(text, name="", file="")[1:]]
    for index, line in enumerate(lines[: below[0] - 1] if below else lines):
        if found := _MODEL_SET.match(line):
            lines[index] = f"{found[0]} {value}\n"
    return "".join(lines)
