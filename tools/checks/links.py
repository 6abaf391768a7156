"""Relative links of the documentation lead somewhere."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import unquote

from tools import markdown
from tools.workspace import Workspace

_ELSEWHERE = ("http://", "https://", "mailto:")


def check_links(workspace: Workspace) -> list[str]:
    """Links to files that do not exist, that leave the repository, or to headings that are not there."""
    return [
        f"{workspace.relative(page)}:{link.line}: {problem}"
        for page in workspace.markdown_files()
        for link in markdown.links(page.read_text(encoding="utf-8"))
        if (problem := _problem(link.target, page, workspace.root))
    ]


def _problem(target: str, page: Path, root: Path) -> str | None:
    if target.startswith(_ELSEWHERE):
        return None
    path_part, _, fragment = target.partition("#")
    path = (page.parent / unquote(path_part)).resolve() if path_part else page
    if not path.is_relative_to(root):
        return f"{target} leaves the repository"
    if not path.exists():
        return f"{target} does not exist"
    if fragment and path.suffix == ".md" and fragment not in markdown.anchors(path.read_text(encoding="utf-8")):
        return f"{target}: no such heading"
    return None
