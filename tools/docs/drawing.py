"""The picture of the distributions, drawn from `tools/checks/arrows.toml`: `python -m tools.docs.drawing`."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tools.workspace import Arrows, Workspace, load_arrows, load_workspace

_BOX_WIDTH, _BOX_HEIGHT, _GAP_X, _GAP_Y, _MARGIN = 132, 36, 28, 58, 16
_STYLE = (
    "text{font:13px system-ui,sans-serif;fill:#1f2430;text-anchor:middle}"
    "rect{fill:#f4f1ea;stroke:#8a6d3b;rx:6px}path{fill:none;stroke:#5b6472;stroke-width:1.2;marker-end:url(#tip)}"
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Box:
    """A distribution's place; `x` and `y` are its top left corner in pixels."""

    x: int
    y: int

    @property
    def centre(self) -> int:
        return self.x + _BOX_WIDTH // 2


def drawing_path(workspace: Workspace) -> Path:
    return workspace.root / "docs" / "distributions.svg"


def check_drawing(workspace: Workspace) -> list[str]:
    """One finding if the stored picture is not the one that the table gives."""
    path = drawing_path(workspace)
    if path.is_file() and path.read_text(encoding="utf-8") == draw(load_arrows(workspace)):
        return []
    return [f"{workspace.relative(path)} is out of date: run python -m tools.docs.drawing"]


def draw(arrows: dict[str, Arrows]) -> str:
    """An SVG with a row per level: what depends on nothing is at the bottom, arrows point at what is depended on."""
    boxes = _layout(arrows)
    width = max(box.x for box in boxes.values()) + _BOX_WIDTH + _MARGIN
    height = max(box.y for box in boxes.values()) + _BOX_HEIGHT + _MARGIN
    return "\n".join(
        [
            '<svg xmlns="http://www.w3.org/2000/svg" '
            f'viewBox="0 0 {width} {height}" width="{width}" height="{height}">',
            f"<title>Distributions and what they depend on</title><style>{_STYLE}</style>",
            '<defs><marker id="tip" viewBox="0 0 8 8" refX="8" refY="4" markerWidth="7" markerHeight="7" orient="auto">'
            '<path d="M0 0L8 4L0 8z" style="fill:#5b6472;stroke:none"/></marker></defs>',
            f'<rect width="{width}" height="{height}" style="fill:#fff;stroke:none"/>',
            *_lines(arrows, boxes),
            *(_box(name, box) for name, box in boxes.items()),
            "</svg>\n",
        ]
    )


def levels(arrows: dict[str, Arrows]) -> dict[str, int]:
    """The row of each distribution, counted from the bottom: directly below the lowest one that depends on it."""
    lowest = {name: _height(arrows, name) for name in arrows}
    above = {name: [lowest[each] for each, rules in arrows.items() if name in rules.depends_on] for name in arrows}
    return {name: min(above[name], default=lowest[name] + 1) - 1 for name in arrows}


def _height(arrows: dict[str, Arrows], name: str) -> int:
    return 1 + max((_height(arrows, sibling) for sibling in arrows[name].depends_on), default=-1)


def _layout(arrows: dict[str, Arrows]) -> dict[str, Box]:
    rows: dict[int, list[str]] = {}
    for name, level in levels(arrows).items():
        rows.setdefault(level, []).append(name)
    widest = max(len(names) for names in rows.values())
    boxes = dict[str, Box]()
    for level, names in rows.items():
        left = _MARGIN + (widest - len(names)) * (_BOX_WIDTH + _GAP_X) // 2
        top = _MARGIN + (max(rows) - level) * (_BOX_HEIGHT + _GAP_Y)
        boxes |= {name: Box(x=left + place * (_BOX_WIDTH + _GAP_X), y=top) for place, name in enumerate(names)}
    return boxes


def _lines(arrows: dict[str, Arrows], boxes: dict[str, Box]) -> Iterator[str]:
    for name, rules in arrows.items():
        for sibling in _direct(arrows, rules):
            start, end = boxes[name], boxes[sibling]
            # Straight down to the row above the target, between that row's boxes, and only then sideways.
            bend = end.y - _GAP_Y // 2
            yield (
                f'<path d="M{start.centre} {start.y + _BOX_HEIGHT}V{end.y - _GAP_Y}'
                f'C{start.centre} {bend} {end.centre} {bend} {end.centre} {end.y}"/>'
            )


def _direct(arrows: dict[str, Arrows], rules: Arrows) -> list[str]:
    """Arrows that are not implied by another one: `a -> b -> c` says `a -> c` already."""
    implied = {below for sibling in rules.depends_on for below in _everything_below(arrows, sibling)}
    return [sibling for sibling in rules.depends_on if sibling not in implied]


def _everything_below(arrows: dict[str, Arrows], name: str) -> set[str]:
    return {each for sibling in arrows[name].depends_on for each in (sibling, *_everything_below(arrows, sibling))}


def _box(name: str, box: Box) -> str:
    label = f'<text x="{box.centre}" y="{box.y + 23}">{name}</text>'
    return f'<rect x="{box.x}" y="{box.y}" width="{_BOX_WIDTH}" height="{_BOX_HEIGHT}"/>{label}'


if __name__ == "__main__":
    _workspace = load_workspace()
    drawing_path(_workspace).write_text(draw(load_arrows(_workspace)), encoding="utf-8")
