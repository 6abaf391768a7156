"""A directed graph as SVG: boxes with names, solid and dashed links, a legend."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from itertools import pairwise
from typing import Final

from fg_config.diagrams.layers import Layout, Point, layered

_CHARACTER: Final = 7.3  # the advance of a monospaced 12 px font
_BOX_HEIGHT: Final = 30.0
_LAYER_HEIGHT: Final = 82.0
_GAP: Final = 26.0
_MARGIN: Final = 24.0
_LEGEND_HEIGHT: Final = 44.0

_STYLE: Final = """\
<style>
  .page { fill: #ffffff }
  .box { fill: #f4f7fb; stroke: #3b5b8c; stroke-width: 1.2 }
  .root { fill: #dfe9f7 }
  .link { fill: none; stroke: #5c6b80; stroke-width: 1.3 }
  .dashed { stroke-dasharray: 5 4 }
  text { font: 12px ui-monospace, 'DejaVu Sans Mono', Menlo, Consolas, monospace; fill: #1c2733 }
</style>
<defs>
  <marker id="tip" viewBox="0 0 8 8" refX="7.5" refY="4" markerWidth="8" markerHeight="8" orient="auto">
    <path d="M0 0.8 L7.5 4 L0 7.2 z" fill="#5c6b80"/>
  </marker>
</defs>"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Box:
    """A node; `note` is shown while the pointer rests on it."""

    name: str
    note: str = ""

    @property
    def width(self) -> float:
        """Pixels."""
        return len(self.name) * _CHARACTER + 24


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """An edge between two boxes."""

    source: str
    target: str
    dashed: bool = False


def draw(boxes: Sequence[Box], links: Sequence[Link], *, legend: Mapping[str, bool]) -> str:
    """The graph as an SVG document. `legend` says what solid (False) and dashed (True) links mean."""
    edges = [(link.source, link.target) for link in links]
    layout = layered({box.name: box.width for box in boxes}, edges, gap=_GAP, layer_height=_LAYER_HEIGHT)
    left, right = _extent(boxes, layout)
    shown = min(left, right - _legend_width(legend)), right
    bottom = max(y for _, y in layout.centres.values()) + _BOX_HEIGHT / 2
    width, height = shown[1] - shown[0] + 2 * _MARGIN, bottom + _BOX_HEIGHT / 2 + _LEGEND_HEIGHT + 2 * _MARGIN
    body = [*(_link(link, layout) for link in dict.fromkeys(links)), *(_box(box, layout, edges) for box in boxes)]
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" width="{width:.0f}" height="{height:.0f}"'
            f' viewBox="{shown[0] - _MARGIN:.1f} {-_BOX_HEIGHT / 2 - _MARGIN:.1f} {width:.1f} {height:.1f}">',
            _STYLE,
            f'<rect class="page" x="{shown[0] - _MARGIN:.1f}" y="{-_BOX_HEIGHT / 2 - _MARGIN:.1f}"'
            ' width="100%" height="100%"/>',
            *body,
            *_legend(legend, shown[0], bottom + _LEGEND_HEIGHT),
            "</svg>",
        ]
    )


def _extent(boxes: Sequence[Box], layout: Layout) -> tuple[float, float]:
    """The leftmost and rightmost pixel of boxes and bends."""
    sides = [(layout.centres[box.name][0], box.width / 2) for box in boxes]
    bends = [x for points in layout.bends.values() for x, _ in points]
    return min([x - half for x, half in sides] + bends), max([x + half for x, half in sides] + bends)


def _box(box: Box, layout: Layout, edges: Sequence[tuple[str, str]]) -> str:
    x, y = layout.centres[box.name]
    kind = "box" if any(target == box.name for _, target in edges) else "box root"
    return (
        f'<g><title>{escape(box.note)}</title><rect class="{kind}" x="{x - box.width / 2:.1f}"'
        f' y="{y - _BOX_HEIGHT / 2:.1f}" width="{box.width:.1f}" height="{_BOX_HEIGHT:.0f}" rx="5"/>'
        f'<text x="{x:.1f}" y="{y + 4:.1f}" text-anchor="middle">{escape(box.name)}</text></g>'
    )


def _link(link: Link, layout: Layout) -> str:
    """A curve from the edge of one box to that of the other, smooth where it passes a layer."""
    (x0, y0), (x1, y1) = layout.centres[link.source], layout.centres[link.target]
    down = 1 if y1 >= y0 else -1
    half = down * _BOX_HEIGHT / 2
    points = [(x0, y0 + half), *layout.bends.get((link.source, link.target), ()), (x1, y1 - half)]
    kind = "link dashed" if link.dashed else "link"
    return f'<path class="{kind}" d="{_curve(points)}" marker-end="url(#tip)"/>'


def _curve(points: Sequence[Point]) -> str:
    """Vertical at every point."""
    parts = [f"M{points[0][0]:.1f} {points[0][1]:.1f}"]
    for (x0, y0), (x1, y1) in pairwise(points):
        middle = (y0 + y1) / 2
        parts.append(f"C{x0:.1f} {middle:.1f} {x1:.1f} {middle:.1f} {x1:.1f} {y1:.1f}")
    return " ".join(parts)


def _legend_width(legend: Mapping[str, bool]) -> float:
    return sum(60 + len(label) * _CHARACTER for label in legend)


def _legend(legend: Mapping[str, bool], x: float, y: float) -> list[str]:
    parts = []
    for label, dashed in legend.items():
        kind = "link dashed" if dashed else "link"
        parts.append(f'<path class="{kind}" d="M{x:.1f} {y:.1f} h34" marker-end="url(#tip)"/>')
        parts.append(f'<text x="{x + 42:.1f}" y="{y + 4:.1f}">{escape(label)}</text>')
        x += 60 + len(label) * _CHARACTER
    return parts
