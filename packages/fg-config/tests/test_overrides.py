"""Overrides: typed by what they replace, refused with a way out, recorded as the newest layer."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fg_config import ConfigEnvironment, GraphError, Override, Project, YamlError
from fg_config.changes.overrides import overridden, overrides_of
from fg_config.changes.structure import is_holder, reachable
from fg_config.graph import Graph, entries
from fg_config.nodes import Call, Span
from fg_config.steps import path_text, steps_of

CONFIG = """\
.define: &opts !call:dict
    steps: 500
    lr: 1.0e-3
    fused: true
    name: run
    nothing: ~
    betas: [0.9, 0.95]
    pair: !tuple [1, 2]
    table: !dict { a: 1, "x.y": { z: 1 } }
    device: !var { name: device, default: cpu }
callbacks: &callbacks !dlist
    tb: !call:dict { dir: logs }
    json: text
    info: !call:dict
other: &other !call:dict { size: 1 }
main: !call:dict { opts: *opts, callbacks: *callbacks }
again: !call:dict { opts: *opts }
plain: &plain [1, 2]
plain_again: *plain
"""


def load(text: str = CONFIG) -> Graph:
    return ConfigEnvironment().load_from_string(text).graph


def apply(*overrides: Override | str, graph: Graph | None = None) -> Graph:
    return overridden(graph or load(), overrides_of(overrides))


def as_json(path: str, value: str) -> Override:
    return Override(text=f"{path}={value}", flag="--set-json")


@pytest.mark.parametrize(
    ("override", "expected"),
    [
        ("steps=7", 7),
        ("steps=-1", -1),
        ("lr=3e-4", 3e-4),
        ("lr=3", 3.0),
        ("lr=-.inf", float("-inf")),
        ("fused=off", False),
        ("fused=Yes", True),
        ("name=", ""),
        ("name=1", "1"),
        ("name=a=b", "a=b"),
        ("name=null", "null"),
        ("lr=~", None),
        ("steps=null", None),
        ("nothing=5", 5),
        ("nothing=3e-4", 3e-4),
        ("nothing=yes", True),
        ("nothing=[1, {a: b}]", [1, {"a": "b"}]),
        ("betas=[0.5]", [0.5]),
        ("betas.1=0.999", 0.999),
        ("pair.0=9", 9),
        ("table.a=2", 2),
        ('table."x.y".z=3', 3),
        ("device=cuda", "cuda"),
    ],
)
def test_a_value_is_read_as_the_type_it_replaces(override, expected):
    path = override.partition("=")[0]
    changed = apply(f"main.opts.{override}")
    value = changed.at(f"main.opts.{path}")
    assert (type(value), value) == (type(expected), expected)


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("steps=abc", ["main.opts.steps: 'abc' is not an int, as 500 is", "the int 500 at <string>:2", "--set-json"]),
        ("steps=3.5", ["'3.5' is not an int"]),
        ("lr=fast", ["'fast' is not a float, as 0.001 is"]),
        ("fused=maybe", ["'maybe' is not a bool, as True is"]),
        ("betas=3", ["'3' is no list"]),
        ("table=[1]", ["'[1]' is no mapping"]),
        ("stps=1", ["no 'stps'", "did you mean 'steps'", "+main.opts.stps=1"]),
        ("betas.2=1", ["no '2'"]),
        ("steps.x=1", ["no 'x'"]),
    ],
)
def test_what_does_not_fit_is_refused_by_name(override, words):
    with pytest.raises(GraphError) as error:
        apply("other.size=2", f"main.opts.{override}")
    report = str(error.value)
    assert "--> --set:2" in report and f"|  main.opts.{override}" in report
    assert [word for word in words if word not in report] == []


@pytest.mark.parametrize("text", ["main.opts", "=3", "", "+main.x", "~main.opts=3"])
def test_text_that_is_no_override(text):
    with pytest.raises(GraphError, match="is no override") as error:
        apply(text)
    assert "PATH=VALUE" in str(error.value.help)


def test_a_wrong_path_is_shown_where_its_last_step_exists():
    with pytest.raises(GraphError) as error:
        apply("size=3")
    assert "did you mean 'other.size'?" in str(error.value)


def test_only_a_plain_override_is_told_how_a_new_entry_is_written():
    for text, told in {"other.siz=1": True, "~other.siz": False, "+nothing.siz=1": False}.items():
        with pytest.raises(GraphError) as error:
            apply(text)
        assert ("(a new entry is written +other.siz=1)" in str(error.value)) is told


def test_yaml_of_a_value_points_at_the_argument():
    with pytest.raises(YamlError) as error:
        apply("other=1", "main=[1")
    assert error.value.span == Span(file="--set", line=2)
    with pytest.raises(GraphError, match="more than one value"):
        apply("main.opts.nothing=1\n- 2")


def test_nodes_are_replaced_by_yaml_with_tags():
    changed = apply("other=!call:collections:Counter {a: 2}")
    node = changed.at("other")
    assert isinstance(node, Call) and (node.spec, dict(node.kwargs)) == ("collections:Counter", {"a": 2})
    assert node.span == changed.span("other.a") == Span(file="--set", line=1)


def test_json_replaces_any_type_and_keeps_tuples_and_tags():
    changed = apply(
        as_json("main.opts.steps", '"many"'), as_json("main.opts.pair", "[3, 4]"), as_json("main.opts.lr", "2")
    )
    opts = changed.at("main.opts")
    assert (opts.kwargs["steps"], opts.kwargs["lr"], type(opts.kwargs["lr"])) == ("many", 2.0, float)
    assert changed.at("main.opts.pair").args == ((3, 4),)
    assert apply(as_json("other", '{"a": 1}')).at("other") == {"a": 1}
    with pytest.raises(GraphError, match="is no JSON"):
        apply(as_json("other", "{a: 1}"))


def test_additions_and_removals():
    changed = apply("+main.opts.seed=3", "+new=!call:dict", "+plain.2=5", "~main.opts.lr", "~again")
    assert changed.at("main.opts.seed") == 3 and changed.at("plain") == [1, 2, 5]
    assert changed.targets == ("callbacks", "other", "main", "plain", "plain_again", "new")
    assert "lr" not in changed.at("main.opts").kwargs
    for wrong in ("+main.opts.steps=1", "+plain.0=1", "+plain.4=1", "+plain.x=1", "+main.opts.steps.x=1"):
        with pytest.raises(GraphError) as error:
            apply(wrong)
        assert error.value.code == "FG0463" and error.value.help


def test_items_of_a_dlist_go_by_key_and_by_index():
    changed = apply("callbacks.tb=~", "callbacks.json=~", "+callbacks.new=!call:dict {x: 1}", "callbacks.new.x=2")
    items = changed.at("main.callbacks").args[0]
    assert [item.kwargs for item in items] == [{}, {"x": 2}]
    assert changed.at("callbacks.info") is items[0] and changed.at("callbacks.1.x") == 2
    with pytest.raises(GraphError, match="no 'tb'") as error:
        changed.at("callbacks.tb")
    assert "deletes it at --set:1" in str(error.value.help)
    assert next(iter(apply("callbacks.1=~").item_keys.values())) == ["tb", "info"]


def test_an_aliased_node_changes_everywhere_and_the_rest_stays_the_same_object():
    graph = load()
    changed = apply("again.opts.steps=7", graph=graph)
    assert changed.at("main.opts") is changed.at("again.opts") is not graph.at("main.opts")
    assert changed.at("main.opts.steps") == 7 and graph.at("main.opts.steps") == 500
    assert changed.at("other") is graph.at("other") and changed.at("main.callbacks") is graph.at("callbacks")
    assert changed.at("main.opts.betas") is graph.at("main.opts.betas")
    lists = apply("plain.0=3", graph=graph)
    assert lists.at("plain") == [3, 2] and lists.at("plain") is lists.at("plain_again")


def test_places_follow_the_values_and_the_override_is_the_newest_layer():
    graph = load()
    changed = apply("other.size=2", "main.opts.steps=7", "main.opts.steps=8", graph=graph)
    for path in ("main", "again.opts", "main.opts.lr", "main.opts.table.a", "main.callbacks.tb.dir", "plain.1"):
        assert changed.span(path) == graph.span(path), path
    assert changed.span("main.opts.steps") == Span(file="--set", line=3)
    newest, before, first = changed.origins("again.opts.steps")
    assert [(layer.value, layer.how, layer.span.line) for layer in (newest, before)] == [
        (8, "override", 3),
        (7, "override", 2),
    ]
    assert (first.value, first.span) == (500, graph.span("main.opts.steps"))
    assert changed.origins("main.opts")[0].value is changed.at("main.opts")


def test_removing_an_item_moves_the_places_of_those_behind_it():
    graph = load("a:\n    - 1\n    - 2\n    - 3\n")
    changed = apply("~a.0", graph=graph)
    assert changed.at("a") == [2, 3]
    assert [changed.span(f"a.{index}").line for index in (0, 1)] == [3, 4]


def test_tables_hold_nothing_of_what_left_the_graph():
    changed = apply("main.opts=1", "again=2", "callbacks=~")
    alive = set(reachable(changed.root))
    assert {number for number, _ in changed.spans} <= alive
    assert {number for number, _ in changed.layers} <= alive and set(changed.item_keys) <= alive


@pytest.fixture
def project(tmp_path, monkeypatch):
    monkeypatch.setenv("FORGATHER_CONFIG_DIR", str(tmp_path / "user"))
    (tmp_path / "forgather_workspace").mkdir()
    (tmp_path / "templates" / "configs").mkdir(parents=True)
    (tmp_path / "meta.yaml").write_text("name: P\n")
    (tmp_path / "templates" / "configs" / "a.yaml").write_text(
        "meta: {nproc: 1}\nmain: !call:dict {size: {{ size | default(3) }}}\nother: *x\n".replace("other: *x\n", "")
    )
    return tmp_path


def test_a_project_builds_what_the_overrides_say(project):
    base = Project("a.yaml", project, size=4)
    changed = Project("a.yaml", project, overrides=["meta.nproc=2", "+main.extra=[1, 2]"], size=4)
    assert changed("meta") == {"nproc": 2} and changed() == {"size": 4, "extra": [1, 2]}
    assert changed.config.main() == changed() and changed.pp_config == base.pp_config
    other = base.with_overrides(["main.size=9"])
    assert (other(), base()) == ({"size": 9}, {"size": 4}) and other.render is base.render
    assert [override.number for override in changed.overrides] == [1, 2]


@pytest.mark.parametrize("verb", [["graph", "--format", "json"], ["targets"], ["code"], ["construct"]])
def test_verbs_take_overrides(project, capsys, verb):
    from fg_config import commands
    from fg_config.command_line import main

    words = [*verb, "-p", str(project), "--set", "+added=5", "--set-json", 'main.size={"a": "flag"}']
    assert main(commands, words) == 0
    out = capsys.readouterr().out
    assert ("added" if verb[0] == "targets" else "flag") in out
    assert main(commands, [*verb, "-p", str(project), "--set", "main.size=x"]) == 2
    assert "'x' is not an int, as 3 is" in capsys.readouterr().err


def test_overrides_keep_their_order_over_both_flags(project, capsys):
    from fg_config import commands
    from fg_config.command_line import main

    words = ["construct", "-p", str(project), "--set-json", 'main.size="a"', "--set", "main.size=7"]
    assert main(commands, words) == 0
    assert capsys.readouterr().out == "{'size': '7'}\n"


_KEYS = st.text(min_size=0, max_size=5)


@given(st.lists(_KEYS, max_size=5))
def test_a_path_is_read_as_it_was_written(steps):
    assert steps_of(path_text(steps)) == steps


_TREES = st.recursive(
    st.integers() | st.booleans() | st.floats(allow_nan=False),
    lambda inner: st.dictionaries(_KEYS.filter(lambda key: not key.isdecimal()), inner, min_size=1, max_size=3),
    max_leaves=8,
)


@given(root=st.dictionaries(_KEYS.filter(lambda key: not key.isdecimal()), _TREES, min_size=1), data=st.data())
def test_any_scalar_can_be_set_to_its_own_text(root, data):
    graph = Graph(root)
    steps: list[str] = []
    value = root
    while is_holder(value):
        steps.append(data.draw(st.sampled_from(list(value))))
        value = entries(value)[steps[-1]]
    changed = overridden(graph, overrides_of([f"{path_text(steps)}={value}"]))
    assert changed.to_json() == graph.to_json()
    assert [layer.how for layer in changed.origins(steps)] == ["override"]
