"""The pages of the site, laid out as in the repository so that every relative link keeps its meaning.

A page links to other pages, to source files and to folders. Pages and pictures are copied; a link to anything else
becomes its text, because the site shows documentation and not the tree around it.
"""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from urllib.parse import unquote

from tools import markdown
from tools.workspace import Workspace

_PICTURES = (".svg", ".png", ".jpg", ".webp")
_LINK = re.compile(r"(?<!!)\[(?P<text>(?:[^\]\[]|\[[^\]]*\])*)\]\((?P<target>[^()\s]+)\)")


def stage(workspace: Workspace, target: Path) -> list[str]:
    """Copy pages and pictures below `target`; the pages' paths relative to the root, README.md first."""
    pages = workspace.markdown_files()
    for page in pages:
        text = page.read_text(encoding="utf-8")
        copy = target / workspace.relative(page)
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_text(_without_foreign_links(text, page, set(pages)), encoding="utf-8")
        for picture in _pictures(text, page):
            destination = target / workspace.relative(picture)
            destination.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(picture, destination)
    names = [workspace.relative(page) for page in pages]
    return sorted(names, key=lambda name: (name != "README.md", not name.startswith("docs/"), name))


def _pictures(text: str, page: Path) -> list[Path]:
    targets = [(page.parent / unquote(link.target.partition("#")[0])).resolve() for link in markdown.links(text)]
    return [path for path in targets if path.suffix in _PICTURES and path.is_file()]


def _without_foreign_links(text: str, page: Path, pages: set[Path]) -> str:
    prose = {number for number, _ in markdown.prose_lines(text)}

    def keep_or_drop(match: re.Match[str]) -> str:
        target = match["target"]
        path = (page.parent / unquote(target.partition("#")[0])).resolve()
        stays = "://" in target or target.startswith(("#", "mailto:")) or path in pages or path.suffix in _PICTURES
        return match[0] if stays else match["text"]

    lines = text.splitlines(keepends=True)
    return "".join(_LINK.sub(keep_or_drop, line) if number in prose else line for number, line in enumerate(lines, 1))
