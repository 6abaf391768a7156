"""Every write of a value: what the parser remembers, and what `Graph.origins` answers."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fg_config import Call, ConfigEnvironment, Graph, GraphError, Var
from fg_config.changes.search import paths_ending_in
from fg_config.commands.outline import graph_outline
from fg_config.exporting.export_yaml import to_yaml
from fg_config.graph import entries
from fg_config.parsing.parse import parse_graph
from fg_config.provenance.unset import calls_below
from fg_config.steps import path_text
from fg_config.tagged import is_plain, tagged_content


def writes(text: str, path: str) -> list[tuple[Any, str, int]]:
    return [(layer.value, layer.how, layer.span.line) for layer in parse_graph(text).origins(path)]


@pytest.mark.parametrize(
    ("text", "path", "expected"),
    [
        ("a: 1\n", "a", [(1, "explicit", 1)]),
        ("a: 1\nb: 2\na: 3\na: 4\n", "a", [(4, "explicit", 4), (3, "explicit", 3), (1, "explicit", 1)]),
        (".b: &b {x: 1}\na:\n  x: 2\n  <<: *b\n", "a.x", [(2, "explicit", 3), (1, "merge", 1)]),
        (".b: &b {x: 1}\na: {<<: *b}\n", "a.x", [(1, "merge", 1)]),
        (".b: &b\n  x: 1\n  x: 2\na: {<<: *b}\n", "a.x", [(2, "merge", 3), (1, "merge", 2)]),
        (".b: &b {x: 1}\n.c: &c {x: 2}\na: {<<: [*b, *c]}\n", "a.x", [(1, "merge", 1), (2, "merge", 2)]),
        ("a: !call:f\n  x: 1\n  x: 2\n", "a.x", [(2, "explicit", 3), (1, "explicit", 2)]),
        ("a: !call:f\n  arg1: p\n  arg0: q\n  arg1: r\n", "a.1", [("r", "explicit", 4), ("p", "explicit", 2)]),
        ("a: !call:f\n  kwargs:\n    x: 1\n    x: 2\n", "a.x", [(2, "explicit", 4), (1, "explicit", 3)]),
        ("a: !call:f\n  args:\n  - 1\n", "a.0", [(1, "explicit", 3)]),
        ("a: !call:f\n  latent_args: ~\n  latent_args: {y: 1}\n", "a.latent_args.y", [(1, "explicit", 3)]),
        ("a: !dict\n  x: 1\n  x: 2\n", "a.x", [(2, "explicit", 3), (1, "explicit", 2)]),
        ("a: !tuple\n- 1\n- 2\n", "a.1", [(2, "explicit", 3)]),
        ("a: !dlist\n  k: 1\n  l: 5\n  k: 2\n", "a.k", [(2, "explicit", 4), (1, "explicit", 2)]),
        ("a: !var {name: v, default: {x: 1}}\n", "a.default.x", [(1, "explicit", 1)]),
        ("[[1, 2], 3]\n", "0.1", [(2, "explicit", 1)]),
    ],
)
def test_every_write_is_kept_newest_first(text, path, expected):
    assert writes(text, path) == expected


def test_overridden_latent_arguments_are_layers_too():
    graph = parse_graph("a: !call:f\n  latent_args: {y: 1}\n  latent_args: {y: 2}\n")
    assert [layer.value for layer in graph.origins("a.latent_args")] == [{"y": 2}, {"y": 1}]


def test_a_merge_knows_the_line_of_its_operator():
    (layer,) = parse_graph(".b: &b {x: 1}\na:\n  y: 2\n  <<: *b\n").origins("a.x")
    assert (layer.span.line, layer.merged_at.line) == (1, 4)


def test_what_was_deleted_from_a_dlist_says_where():
    graph = parse_graph("a: !dlist\n  k: 1\n  l: 2\n  k: ~\n")
    assert graph.at("a.l") == 2
    with pytest.raises(GraphError) as caught:
        graph.at("a.k")
    assert caught.value.help == "`~` deletes it at <text>:4:6"


def test_a_graph_without_text_has_no_origins():
    assert Graph({"a": 1}).origins("a") == ()


@pytest.mark.parametrize(
    ("text", "path", "place"),
    [
        ("b: &b !call:f []\na: *b\n", "a", 2),
        ("b: &b {x: 1}\nc:\n  d: 1\n  a: *b\n", "c.a", 4),
        ("a:\n  b: 1\n", "a", 1),
        ("a:\n- 1\n", "a", 1),
        ("a:\n  text\n", "a", 2),
        ("a: !call:f\n  x: 1\n", "a", 1),
    ],
)
def test_an_entry_is_placed_at_its_value_or_where_that_is_elsewhere_at_its_key(text, path, place):
    assert parse_graph(text).span(path).line == place


# --- what is shared is walked once --------------------------------------------------------------------------------

DOUBLED = {
    "list": "[*n{0}, *n{0}]",
    "map": "{{a: *n{0}, b: *n{0}}}",
    "call": "!call:f [*n{0}, *n{0}]",
    "tuple": "!tuple [*n{0}, *n{0}]",
    "variable": "!var {{name: v, default: [*n{0}, *n{0}]}}",
    "merge": "{{<<: [*n{0}, *n{0}], k{1}: 1}}",
}


@pytest.mark.parametrize("item", DOUBLED.values(), ids=DOUBLED)
def test_forty_doublings_are_walked_once(item):
    """Without memory each of these walks would make 2**40 visits and never end."""
    lines = [".n0: &n0 {z: 1}", *(f".n{i}: &n{i} {item.format(i - 1, i)}" for i in range(1, 41))]
    graph = parse_graph("\n".join([*lines, "main: *n40"]))
    assert len(graph_outline(graph.root).splitlines()) < 1000
    assert len(str(graph.to_json())) < 20_000
    assert parse_graph(to_yaml(graph.root)).to_json() == graph.to_json()
    assert is_plain(graph.root) == (item not in (DOUBLED["call"], DOUBLED["variable"]))
    assert len(list(paths_ending_in(graph, "z"))) == 1
    assert len(list(calls_below(graph, ""))) == (40 if item == DOUBLED["call"] else 0)


# --- the law ------------------------------------------------------------------------------------------------------

_KEYS = st.sampled_from(["lr", "seed", "size", "name"])
_SCALARS = st.sampled_from(
    ["1", "0.5", "true", "~", "word", "'a b'", "[1, 2]", "{p: 1}", "!call:f {lr: 1, lr: 2}", "*s"]
)
_LINES = st.lists(st.tuples(_KEYS, _SCALARS), max_size=4)


@st.composite
def inherited(draw: st.DrawFn) -> list[str]:
    """Templates, root first: each child redeclares keys of two blocks, keeps what its parent says or replaces it."""
    templates = [_template(draw, "", ".s: &s !call:shared []\nargs: !call:g\n  head: 1\n")]
    for number in range(draw(st.integers(0, 3))):
        templates.append(_template(draw, f"-- extends 't{number}'\n", ""))
    return templates


def _template(draw: st.DrawFn, extends: str, head: str) -> str:
    parts = [extends, head]
    for block, indent in (("args", "  "), ("more", "")):
        if extends and not draw(st.booleans()):
            continue
        parts.append(f"[{block}]\n")
        if extends and draw(st.booleans()):
            parts.append("    == super()\n")
        parts += [f"{indent}{'' if indent else 't_'}{key}: {value}\n" for key, value in draw(_LINES)]
        parts.append("\n")
    return "".join(parts)


def every_path(value: Any, steps: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    content = tagged_content(value)
    inner = entries(value if content is None else content) if isinstance(value, (Call, Var, dict, list, tuple)) else {}
    return [steps, *(path for key, item in inner.items() for path in every_path(item, (*steps, key)))]


@settings(max_examples=60, deadline=None)
@given(inherited())
def test_the_newest_layer_is_the_value_and_stands_on_its_line(templates):
    environment = ConfigEnvironment()
    for number, text in enumerate(templates):
        environment.add_template(f"t{number}", text)
    graph = environment.load(f"t{len(templates) - 1}").graph
    for path in every_path(graph.root)[1:]:
        layers = graph.origins(path)
        assert layers[0].value is graph.at(path) is graph.at(path_text(path))
        assert layers[0].span == graph.span(path)
        for layer in layers:
            text = templates[int(layer.span.file[2:-1])].split("\n")[layer.span.line - 1]
            assert str(path[-1]) in text or isinstance(path[-1], int)
