"""`meta`: the project record, the templates it is made of, and where templates are searched."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from fg_config.command_line import selected_record
from fg_config.commands.output import add_json, add_output, as_json, emit

if TYPE_CHECKING:
    from fg_config.projects.catalog import TemplatePlace
    from fg_config.projects.meta import ProjectMeta


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the flags of the verb."""
    add_output(parser)
    add_json(parser)


def run(args: argparse.Namespace) -> int:
    """Print the record as Markdown or JSON."""
    from fg_config.projects.catalog import template_places

    meta = selected_record(args)
    places = template_places(meta)
    return emit(as_json(_json(meta, places)) if args.json else _markdown(meta, places), args)


def record(meta: ProjectMeta) -> dict[str, Any]:
    """The record as JSON values."""
    return {
        "name": meta.name,
        "description": meta.description,
        "project_dir": str(meta.project_dir),
        "workspace_root": str(meta.workspace_root),
        "config_prefix": meta.config_prefix,
        "default_config": meta.default_config,
        "system_path": None if meta.system_path is None else str(meta.system_path),
    }


def record_lines(meta: ProjectMeta) -> list[str]:
    """The record as a Markdown list; what is not set is left out."""
    return [f"- {key}: {value}" for key, value in record(meta).items() if value is not None]


def places_lines(places: list[TemplatePlace]) -> list[str]:
    """The search path as a numbered Markdown list."""
    return [
        f"{number}. `{place.path}` ({place.title}{'' if place.exists else ', **missing**'})"
        for number, place in enumerate(places, start=1)
    ]


def _markdown(meta: ProjectMeta, places: list[TemplatePlace]) -> str:
    lines = [f"# {meta.name or meta.project_dir.name}", "", *record_lines(meta)]
    lines += ["", "## Templates of meta.yaml", "", *(f"- `{file}`" for file in meta.files)]
    return "\n".join([*lines, "", "## Search path", "", *places_lines(places)])


def _json(meta: ProjectMeta, places: list[TemplatePlace]) -> dict[str, Any]:
    searched = [place.to_json() for place in places]
    return {**record(meta), "templates": [str(file) for file in meta.files], "search_path": searched}
