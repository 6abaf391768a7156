"""What differs between two graphs: each kind of change with both values and places, and the laws of comparing."""

from __future__ import annotations

import copy
import time
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fg_config import Call, ConfigEnvironment, Graph, GraphDiff, Span, diff
from fg_config.changes.align import aligned
from fg_config.changes.compare import Change
from fg_config.changes.diff_text import DiffText
from fg_config.changes.overrides import overridden, overrides_of
from fg_config.changes.structure import with_entries
from fg_config.graph import entries
from fg_config.tagged import untagged

SPAN = Span(file="graph.yaml", line=1)
BASE = """\
.define: &opt !partial:torch.optim:AdamW { lr: 1.0e-3, betas: [0.9, 0.95] }
callbacks: &callbacks !dlist
    tb: !call:m:Board { dir: logs }
    json: !call:m:Json
model: &model !call:m:Model { size: 4, layers: [a, b, c] }
main: !call:m:Main { model: *model, optimizer: *opt, callbacks: *callbacks, seed: 1 }
meta: { name: base, nothing: ~ }
"""


def load(text: str) -> Graph:
    return ConfigEnvironment().load_from_string(text).graph


def changed(old: str, new: str, base: str = BASE) -> GraphDiff:
    assert old in base
    return diff(load(base), load(base.replace(old, new)))


def table(difference: GraphDiff) -> list[tuple[Any, ...]]:
    return [(change.kind, change.path) for change in difference.changes]


def test_a_value_that_changed_has_both_values_and_both_lines():
    difference = changed("seed: 1", "seed: 2")
    (change,) = difference.changes
    assert (change.kind, change.path) == ("changed", "main.seed")
    assert (change.old.value, change.new.value) == (1, 2)
    assert change.old.span.line == change.new.span.line == 6
    assert DiffText()(difference) == "~ main.seed: 1 -> 2\n    <string>:6 -> <string>:6\n1 changed".replace(
        "<string>:6 -> <string>:6", f"{change.old.span}"
    )


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("seed: 1", "seed: 1.0", [("changed", "main.seed")]),
        ("seed: 1", "seed: true", [("changed", "main.seed")]),
        ("seed: 1", "seed: 1, extra: x", [("added", "main.extra")]),
        (", nothing: ~", "", [("removed", "meta.nothing")]),
        ("AdamW", "SGD", [("spec", "main.optimizer")]),
        ("!partial:torch", "!factory:torch", [("spec", "main.optimizer")]),
        ("!call:m:Model {", "!call:m:Model@big {", [("spec", "model")]),
        ("[0.9, 0.95]", "[0.9, 0.999]", [("changed", "main.optimizer.betas.1")]),
        ("[0.9, 0.95]", "!list [0.9, 0.95]", [("spec", "main.optimizer.betas")]),
        ("[0.9, 0.95]", "{a: 1}", [("changed", "main.optimizer.betas")]),
        ("[a, b, c]", "[x, a, b, c]", [("added", "model.layers.0")]),
        ("[a, b, c]", "[a, c]", [("removed", "model.layers.1")]),
        ("    json: !call:m:Json\n", "    json: ~\n", [("removed", "callbacks.json")]),
        ("dir: logs", "dir: there", [("changed", "callbacks.tb.dir")]),
        ("    tb:", "    first: !call:m:First\n    tb:", [("added", "callbacks.first")]),
        ("    tb:", "    board:", [("moved", "callbacks.board")]),
        ("{ name: base, nothing: ~ }", "{ nothing: ~, name: base }", []),
        ("meta: {", "# text is not compared\n\nmeta: {", []),
        ("meta: {", "other: { a: 1 }\nmeta: {", [("added", "other")]),
    ],
)
def test_kinds_of_change(old, new, expected):
    assert table(changed(old, new)) == expected


def test_a_part_that_went_elsewhere_is_one_move():
    old = load("a: {x: {deep: [1, 2]}, y: 0}\nb: {z: 0}\n")
    new = load("a: {y: 0}\nb: {z: 0, w: {deep: [1, 2]}}\n")
    (change,) = diff(old, new).changes
    assert (change.kind, change.old.path, change.new.path) == ("moved", "a.x", "b.w")
    assert "a.x is now b.w: {deep: [1, 2]}" in DiffText()(diff(old, new))


def test_sharing_that_changed():
    shared = load("a: &a !call:m:X {v: 1}\nb: *a\nc: [*a]\n")
    apart = load("a: &a !call:m:X {v: 1}\nb: *a\nc: [!call:m:X {v: 1}]\n")
    difference = diff(shared, apart)
    assert difference.changes == () and bool(difference)
    assert [(change.kind, change.paths) for change in difference.sharing] == [("split", ("a", "c.0"))]
    assert [(change.kind, change.paths) for change in diff(apart, shared).sharing] == [("joined", ("a", "c.0"))]
    assert "no longer one object: a, c.0" in DiffText()(difference)


def test_sharing_of_what_has_no_identity_means_nothing():
    for value in ("[1]", "{a: 1}", "!factory:m:X", "!partial:m:X"):
        assert not diff(load(f"a: &a {value}\nb: *a\n"), load(f"a: {value}\nb: {value}\n"))


def test_a_change_inside_a_shared_node_is_told_once_at_its_shortest_path():
    graph = load("deep: {er: {x: &x !call:m:X {v: 1}}}\nshort: *x\n")
    assert table(diff(graph, overridden(graph, overrides_of(["short.v=2"])))) == [("changed", "short.v")]


def test_shared_parts_cost_nothing():
    def doublings(value: int) -> Graph:
        node: Any = value
        for _ in range(60):
            node = Call(kind="call", spec="m:X", span=SPAN, args=(node, node))
        return Graph({"main": node})

    begun = time.perf_counter()
    (change,) = diff(doublings(1), doublings(2)).changes[:1]
    assert not diff(doublings(1), doublings(1))
    assert change.path == ".".join(["main", *["0"] * 60])
    assert time.perf_counter() - begun < 30  # 2**60 paths would not end


def test_paths_are_those_that_overrides_take():
    base = load('a: {"x.y": {z: 1}}\nc: !dlist {k: !call:m:X {v: 1}}\n')
    overrides = ['a."x.y".z=2', "c.k.v=5"]
    difference = diff(base, overridden(base, overrides_of(overrides)))
    assert [f"{change.path}={change.new.value}" for change in difference.changes] == overrides
    assert [change.new.span for change in difference.changes] == [Span(file="--set", line=n) for n in (1, 2)]


def test_long_texts_show_where_they_differ():
    old, new = (load(f"a: /a/long/common/directory/of/output/{name}/runs\n") for name in ("first", "second"))
    assert DiffText()(diff(old, new)).startswith('~ a: "…/first/runs" -> "…/second/runs"\n')


def test_colour_is_only_for_those_who_ask():
    difference = changed("seed: 1", "seed: 2")
    assert "\x1b" not in DiffText()(difference)
    assert DiffText(colour=True)(difference).startswith("\x1b[33m~ main.seed: 1 -> 2\x1b[0m\n")


# --- laws -----------------------------------------------------------------------------------------------------------

_SCALARS = st.none() | st.booleans() | st.integers(0, 3) | st.floats(allow_nan=False) | st.sampled_from("abc")
_KEYS = st.sampled_from("pqrst")


def _calls(values: st.SearchStrategy[Any]) -> st.SearchStrategy[Call]:
    return st.builds(
        lambda kind, spec, args, kwargs: Call(kind=kind, spec=spec, span=SPAN, args=tuple(args), kwargs=kwargs),
        st.sampled_from(["call", "factory", "partial"]),
        st.sampled_from(["m:X", "m:Y"]),
        st.lists(values, max_size=2),
        st.dictionaries(_KEYS, values, max_size=3),
    )


_VALUES = st.recursive(
    _SCALARS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(_KEYS, inner, max_size=3) | _calls(inner),
    max_leaves=14,
)
_TREES = st.dictionaries(_KEYS, _VALUES, max_size=4).map(copy.deepcopy)


@st.composite
def shared_graphs(draw: st.DrawFn) -> Graph:
    pool: list[Any] = [draw(_SCALARS)]
    for _ in range(draw(st.integers(1, 6))):
        pool.append(draw(_calls(st.sampled_from(pool) | st.lists(st.sampled_from(pool), max_size=2))))
    return Graph({key: draw(st.sampled_from(pool)) for key in draw(st.lists(_KEYS, unique=True, min_size=1))})


def applied(root: Any, changes: tuple[Change, ...]) -> Any:
    """`root` after the reported changes: new values, then removals from the back, then additions from the front."""
    for change in changes:
        if change.kind == "changed":
            root = _put(root, change.old.steps, change.new.value)
        elif change.kind == "spec":
            root = _put(root, change.old.steps, None, other_head=change.new.value)
    gone = [change.old.steps for change in changes if change.kind in ("removed", "moved")]
    for steps in sorted(gone, key=lambda steps: (len(steps), _order(steps)), reverse=True):
        root = _take(root, steps)
    new = [change.new for change in changes if change.kind in ("added", "moved")]
    for place in sorted(new, key=lambda place: (len(place.steps), _order(place.steps))):
        root = _insert(root, place.steps, place.value)
    return root


def _order(steps: tuple[Any, ...]) -> list[tuple[str, int]]:
    return [("", step) if isinstance(step, int) else (step, 0) for step in steps]


def _put(value: Any, steps: tuple[Any, ...], new: Any, other_head: Any = None) -> Any:
    if not steps:
        return replace(value, kind=other_head.kind, spec=other_head.spec) if other_head is not None else new
    inside = dict(entries(value))
    inside[steps[0]] = _put(inside[steps[0]], steps[1:], new, other_head)
    return with_entries(value, inside)


def _take(value: Any, steps: tuple[Any, ...]) -> Any:
    inside = dict(entries(value))
    taken = inside.pop(steps[0])
    return with_entries(value, {**entries(value), steps[0]: _take(taken, steps[1:])} if steps[1:] else inside)


def _insert(value: Any, steps: tuple[Any, ...], new: Any) -> Any:
    inside = dict(entries(value))
    if steps[1:]:
        return with_entries(value, {**inside, steps[0]: _insert(inside[steps[0]], steps[1:], new)})
    if isinstance(value, list):
        return [*value[: steps[0]], new, *value[steps[0] :]]
    return with_entries(value, {**inside, steps[0]: new})


@given(root=_TREES)
def test_a_graph_does_not_differ_from_a_copy_of_it(root):
    assert not diff(Graph(root), Graph(copy.deepcopy(root)))


@given(graph=shared_graphs())
def test_a_graph_with_sharing_does_not_differ_from_itself(graph):
    assert not diff(graph, graph)


@given(a=_TREES, b=_TREES)
@settings(max_examples=300, deadline=None)
def test_the_changes_turn_one_into_the_other(a, b):
    difference = diff(Graph(a), Graph(b))
    assert not diff(Graph(applied(a, difference.changes)), Graph(b)), difference


@given(a=_TREES, b=_TREES)
@settings(max_examples=200, deadline=None)
def test_exchanging_the_sides_exchanges_added_and_removed(a, b):
    exchanged = {"added": "removed", "removed": "added"}

    def rows(difference: GraphDiff, back: bool) -> list[tuple[str, str, str]]:
        result = []
        for change in difference.changes:
            sides = [place.path if place else "-" for place in (change.old, change.new)]
            kind = exchanged.get(change.kind, change.kind) if back else change.kind
            result.append((kind, *(reversed(sides) if back else sides)))
        return sorted(result)

    assert rows(diff(Graph(b), Graph(a)), True) == rows(diff(Graph(a), Graph(b)), False)


@given(a=shared_graphs(), b=shared_graphs())
def test_sharing_is_the_same_from_both_sides(a, b):
    opposite = {"split": "joined", "joined": "split"}
    there = sorted((change.kind, change.paths) for change in diff(a, b).sharing)
    back = sorted((opposite[change.kind], change.paths) for change in diff(b, a).sharing)
    assert there == back


@given(old=st.lists(st.sampled_from("abcd")), new=st.lists(st.sampled_from("abcd")))
def test_alignment_has_every_item_once_in_order_and_partners_are_the_same_from_both_sides(old, new):
    pairs = aligned(old, new, (str, str))
    assert [i for i, _ in pairs if i is not None] == list(range(len(old)))
    assert [j for _, j in pairs if j is not None] == list(range(len(new)))
    assert {(j, i) for i, j in aligned(new, old, (str, str))} == set(pairs)


def test_tagged_containers_are_looked_through():
    assert untagged(load("a: !list [1]\n").at("a")) == [1]
