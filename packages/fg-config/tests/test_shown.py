"""How a value is written on one line: briefly where its parts follow, and with what it holds in a difference."""

from __future__ import annotations

import pytest

from fg_config import ConfigEnvironment, Graph
from fg_config.shown import shown_flow, shown_value
from fg_config.walking import holders, walk


def load(text: str) -> Graph:
    return ConfigEnvironment().load_from_string(text).graph


@pytest.mark.parametrize(
    ("text", "briefly", "in_flow"),
    [
        ("x: 1e-3", '"1e-3"', '"1e-3"'),
        ("x: 1.0e-8", "1.0e-08", "1.0e-08"),
        ("x: .nan", ".nan", ".nan"),
        ("x: 'no'", '"no"', '"no"'),
        ("x: [1, ~, {}]", "list of 3", "[1, null, {}]"),
        ("x: {a: 1, b: two}", "{a: 1, b: two}", "{a: 1, b: two}"),
        ("x: !list:@kept [1]", "[1]", "!list:@kept [1]"),
        ("x: !tuple []", "[]", "!tuple []"),
        ("x: !dict {}", "{}", "!dict {}"),
        ("x: !call:a:B []", "!call:a:B", "!call:a:B"),
        ("x: !partial:a:B@n {lr: 1}", "!partial:a:B@n", "!partial:a:B@n {lr: 1}"),
        ("x: !var v", "!var v", "!var v"),
        ("x: !var {name: v, default: 2}", "!var v", "!var v {default: 2}"),
        ("x: {a: {b: {c: {d: 1}}}}", "mapping of 1", "{a: {b: {c: …}}}"),
    ],
)
def test_a_value_on_one_line(text: str, briefly: str, in_flow: str):
    value = load(text).target("x")
    assert (shown_value(value), shown_flow(value)) == (briefly, in_flow)


def test_what_is_long_is_counted_or_cut():
    value = load(f"x: [{', '.join(map(str, range(200)))}]").target("x")
    assert shown_value(value) == "list of 200"
    assert len(shown_flow(value)) == 72 and shown_flow(value).endswith("…")


def test_what_is_shared_is_walked_once():
    levels = "".join(f".l{n}: &l{n} [*l{n - 1}, *l{n - 1}]\n" for n in range(1, 60))
    graph = load(f".l0: &l0 !list [1]\n{levels}x: *l59\n")
    assert len(list(walk([graph.root]))) == 62
    assert max(len(steps) for steps, _ in holders(graph)) == 60
