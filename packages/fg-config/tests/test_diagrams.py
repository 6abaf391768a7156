"""The layered layout and the picture: laws that hold for every graph."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st

from fg_config.diagrams.layers import layered
from fg_config.diagrams.svg import Box, Link, draw

NAMES = st.lists(st.text("abcdefgh", min_size=1, max_size=9), min_size=1, max_size=12, unique=True)
SVG = "{http://www.w3.org/2000/svg}"


@st.composite
def graphs(draw_from):
    names = draw_from(NAMES)
    one = st.sampled_from(names)
    return names, draw_from(st.lists(st.tuples(one, one), max_size=20))


def overlapping(centres, widths, gap):
    rows = {}
    for name, (x, y) in centres.items():
        rows.setdefault(y, []).append((x - widths[name] / 2, x + widths[name] / 2))
    return [
        (left, right)
        for row in rows.values()
        for left, right in pairwise(sorted(row))
        if right[0] - left[1] < gap - 1e-6
    ]


@settings(max_examples=150, deadline=None)
@given(graphs())
def test_boxes_never_overlap_and_every_edge_changes_the_layer(graph):
    names, edges = graph
    widths = {name: 10.0 * len(name) for name in names}
    layout = layered(widths, edges, gap=7, layer_height=50)
    assert set(layout.centres) == set(names)
    assert overlapping(layout.centres, widths, 7) == []
    for source, target in edges:
        if source != target:
            assert layout.centres[source][1] != layout.centres[target][1]
            rows = abs(layout.centres[source][1] - layout.centres[target][1]) / 50
            assert len(layout.bends[source, target]) == rows - 1


@settings(max_examples=50, deadline=None)
@given(NAMES)
def test_edges_of_a_graph_without_circles_point_down(names):
    edges = [(names[i], names[j]) for i in range(len(names)) for j in range(i + 1, len(names)) if (i * j) % 3 == 1]
    layout = layered(dict.fromkeys(names, 20.0), edges, gap=5, layer_height=10)
    assert all(layout.centres[source][1] < layout.centres[target][1] for source, target in edges)


def test_a_ladder_is_drawn_without_crossings():
    edges = [("a", "x"), ("b", "y"), ("c", "z"), ("r", "c"), ("r", "b"), ("r", "a")]
    layout = layered(dict.fromkeys("rabcxyz", 10.0), edges, gap=5, layer_height=10)
    across = {name: layout.centres[name][0] for name in "abcxyz"}
    order = sorted("abc", key=across.__getitem__)
    assert sorted("xyz", key=across.__getitem__) == [{"a": "x", "b": "y", "c": "z"}[name] for name in order]


def test_a_chain_is_a_straight_line():
    layout = layered({"a": 10.0, "b": 90.0, "c": 30.0}, [("a", "b"), ("b", "c")], gap=5, layer_height=10)
    assert len({round(x, 6) for x, _ in layout.centres.values()}) == 1


def test_the_picture_shows_every_name_link_and_the_legend():
    boxes = [Box(name="a<b>.yaml", note="/x/a & b.yaml"), Box(name="base.yaml"), Box(name="part")]
    links = [Link(source="a<b>.yaml", target="base.yaml"), Link(source="a<b>.yaml", target="part", dashed=True)]
    root = ET.fromstring(draw(boxes, links, legend={"extends": False, "includes": True}))
    assert [text.text for text in root.iter(f"{SVG}text")] == ["a<b>.yaml", "base.yaml", "part", "extends", "includes"]
    paths = [path.get("class") for path in root.iter(f"{SVG}path") if path.get("class")]
    assert sorted(paths) == ["link", "link", "link dashed", "link dashed"]
    assert next(iter(root.iter(f"{SVG}title"))).text == "/x/a & b.yaml"
    x, y, width, height = map(float, (root.get("viewBox") or "").split())
    for box in root.iter(f"{SVG}rect"):
        if box.get("class") != "page":
            left, top = float(box.get("x", "nan")), float(box.get("y", "nan"))
            assert x <= left and left + float(box.get("width", "nan")) <= x + width
            assert y <= top and top + float(box.get("height", "nan")) <= y + height
