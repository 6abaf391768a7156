"""Paths, spans and the saved form of a graph."""

import json

import pytest

from fg_config import Call, Graph, GraphError, Span, UnknownTargetError
from fg_config.parsing.parse import parse_graph
from fg_config.steps import path_text
from fg_config.tagged import is_plain

TEXT = """\
trainer_args: !dict
    lr: 0.1
    betas: [0.9, 0.99]
main: !call:f
    arg0: first
    model: &model !factory:g {size: 3}
again: *model
wide: !var {name: w, default: {x: 1}}
"""


@pytest.fixture
def graph():
    return parse_graph(TEXT)


@pytest.mark.parametrize(
    ("path", "expected", "line"),
    [
        ("trainer_args.lr", 0.1, 2),
        ("trainer_args.betas.1", 0.99, 3),
        ("main.0", "first", 5),
        ("main.model.size", 3, 6),
        ("again.size", 3, 6),
        ("wide.default.x", 1, 8),
        (("trainer_args", "betas", 0), 0.9, 3),
    ],
)
def test_values_and_places_by_path(graph, path, expected, line):
    assert (graph.at(path), graph.span(path).line) == (expected, line)


def test_a_wrong_step_is_named_with_near_matches(graph):
    with pytest.raises(GraphError) as caught:
        graph.at("trainer_args.beta")
    assert (caught.value.message, caught.value.help) == ("no 'beta' in 'trainer_args.beta'", "did you mean 'betas'?")


@pytest.mark.parametrize("key", [None, 1.5, 7, False, "a.b", ""])
def test_every_key_has_a_path(key):
    graph = Graph({"x": {key: "there", "other": 1}})
    assert graph.at(path_text(["x", key])) == graph.at(["x", key]) == "there"


def test_targets(graph):
    assert graph.targets == ("trainer_args", "main", "again", "wide")
    with pytest.raises(KeyError) as caught:
        graph.target("mian")
    assert isinstance(caught.value, UnknownTargetError)
    assert "did you mean 'main'?" in str(caught.value)


def test_saved_form(graph):
    size = {"$": "factory", "n": 5, "spec": "g", "name": None, "args": [], "kwargs": [["size", 3]]}
    betas = {"$": "seq", "n": 3, "items": [0.9, 0.99]}
    inner = {"$": "map", "n": 2, "items": [["lr", 0.1], ["betas", betas]]}
    assert json.loads(json.dumps(graph.to_json())) == {
        "$": "map",
        "n": 0,
        "items": [
            ["trainer_args", {"$": "call", "n": 1, "spec": "named_dict", "name": None, "args": [inner], "kwargs": []}],
            ["main", {"$": "call", "n": 4, "spec": "f", "name": None, "args": ["first"], "kwargs": [["model", size]]}],
            ["again", {"$ref": 5}],
            [
                "wide",
                {
                    "$": "var",
                    "n": 6,
                    "name": "w",
                    "has_default": True,
                    "default": {"$": "map", "n": 7, "items": [["x", 1]]},
                },
            ],
        ],
    }


def test_what_is_plain():
    graph = parse_graph("a: !dict {x: [1, !tuple [2]]}\nb: [!call:f []]\nc: {x: !var v}\nd: 1\n")
    assert [is_plain(graph.at(name)) for name in "abcd"] == [True, False, False, True]
    doublings = "\n".join([".n0: &n0 [1]", *(f".n{i}: &n{i} [*n{i - 1}, *n{i - 1}]" for i in range(1, 60))])
    assert is_plain(parse_graph(f"{doublings}\nmain: *n59").at("main"))


def test_empty_containers_are_never_references():
    graph = parse_graph("a: &a []\nb: *a\nc: &c [1]\nd: *c\n")
    items = dict(graph.to_json()["items"])
    assert items["a"] == {"$": "seq", "n": 1, "items": []}
    assert items["b"] == {"$": "seq", "n": 2, "items": []}
    assert items["d"] == {"$ref": items["c"]["n"]}


def test_nodes_that_nest_too_deeply_to_be_numbered_are_an_error():
    node = Call(kind="call", spec="dict", span=Span(file="f", line=1))
    for _ in range(1200):
        node = Call(kind="call", spec="dict", span=Span(file="f", line=2), kwargs={"x": node})
    with pytest.raises(GraphError, match="nest too deeply"):
        Graph(node).to_json()
