"""A saved graph reads back exactly, with places; damage is told by its place in the file."""

from __future__ import annotations

import copy
import json
import shutil
import subprocess
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fg_config import Graph, GraphError, Override, Project, ProjectError, load_run_record, save_run_record
from fg_config.changes.saved_graph import graph_from_json, graph_with_places, places_of
from fg_config.changes.structure import reachable
from fg_config.graph import entries
from fg_config.nodes import MISSING, Call, Span, Var

CONFIG = """\
.define: &opts !call:dict
    steps: {{ steps | default(5) }}
    lr: 1
    lr: 2
callbacks: !dlist { tb: !call:dict [], gone: x, json: !call:dict [] }
base: &base { a: 1 }
merged: { <<: *base, b: 2 }
main: !call:dict { opts: *opts, var: !var { name: v, default: [1] } }
again: *opts
"""


@pytest.fixture
def project(tmp_path, monkeypatch):
    monkeypatch.setenv("FORGATHER_CONFIG_DIR", str(tmp_path / "user"))
    (tmp_path / "forgather_workspace").mkdir()
    (tmp_path / "templates" / "configs").mkdir(parents=True)
    (tmp_path / "meta.yaml").write_text("name: P\n")
    (tmp_path / "templates" / "configs" / "a.yaml").write_text(CONFIG)
    return tmp_path


SPAN = Span(file="graph.yaml", line=1)
_SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5)
_KEYS = st.text(max_size=3) | st.integers(0, 3) | st.booleans() | st.none()


@st.composite
def roots(draw: st.DrawFn) -> Any:
    """A value built from a pool, so that most of what is drawn is shared."""
    pool: list[Any] = [draw(_SCALARS)]
    for _ in range(draw(st.integers(1, 8))):
        items = st.sampled_from(pool) | _SCALARS
        values = st.lists(items, max_size=3)
        names = st.dictionaries(st.text(max_size=3), items, max_size=2)
        nodes = st.builds(
            Call,
            kind=st.sampled_from(["call", "factory", "partial", "meta"]),
            spec=st.sampled_from(["m:X", "dict"]),
            span=st.just(SPAN),
            name=st.none() | st.text(max_size=3),
            args=values.map(tuple),
            kwargs=names,
            latent_args=st.none() | names,
            submodule_searchpath=st.none() | values,
        )
        variables = st.builds(Var, name=st.text(max_size=3), span=st.just(SPAN), default=st.just(MISSING) | items)
        containers = values | values.map(tuple) | st.dictionaries(_KEYS, items, max_size=3)
        pool.append(draw(containers | nodes | variables))
    return draw(st.sampled_from(pool) | st.dictionaries(st.text(max_size=3), st.sampled_from(pool)))


@given(root=roots())
@settings(max_examples=150, deadline=None)
def test_a_saved_graph_reads_back_equal(root):
    saved = Graph(root=root).to_json()
    assert graph_from_json(json.loads(json.dumps(saved))).to_json() == saved


def everything(graph: Graph) -> list[Any]:
    """Places and writes of all entries, in the order of the saved form."""
    numbers = graph.numbers()
    rows = []
    for number, value in sorted((numbers[of], value) for of, value in reachable(graph.root).items()):
        rows.append((number, getattr(value, "span", None), graph.item_keys.get(id(value))))
        for key in [*entries(value), "gone", "tb"]:
            writes = graph.layers.get((id(value), key), ())
            rows.append(
                (number, key, graph.spans.get((id(value), key)), [(w.span, w.how, w.merged_at) for w in writes])
            )
    return rows


def test_places_and_writes_read_back_equal(project):
    graph = Project("a.yaml", project, overrides=["main.opts.steps=9", "callbacks.gone=~"]).graph
    data, places = json.loads(json.dumps([graph.to_json(), places_of(graph)]))
    again = graph_with_places(data, places)
    assert everything(again) == everything(graph)
    assert [write.how for write in again.origins("again.steps")] == ["override", "explicit"]
    assert [write.value for write in again.origins("again.lr")] == [2, 1]
    assert again.origins("merged.a")[0].how == "merge"
    assert again.at("callbacks.json") is again.at("callbacks.1")


def test_a_record_has_all_that_a_run_was(project):
    config = Project("a.yaml", project, overrides=["main.opts.lr=3"], steps=7)
    save_run_record(config, project / "runs" / "one")
    record = load_run_record(project / "runs" / "one")
    assert record.graph.to_json() == config.graph.to_json()
    assert record.graph.span("main.opts.lr").file == "--set"
    assert (record.text, record.config_name, record.project_dir) == (config.pp_config, "a.yaml", project)
    assert (record.dynamic_args, record.overrides) == ({"steps": 7}, (Override(text="main.opts.lr=3"),))
    (template,) = record.templates
    assert template == str(project / "templates" / "configs" / "a.yaml")
    assert (record.commit, record.modified) == (None, False)


@pytest.mark.skipif(shutil.which("git") is None, reason="git is not installed")
def test_a_record_names_the_commit_and_whether_files_differ_from_it(project):
    for words in (["init", "-q"], ["add", "."], ["-c", "user.name=a", "-c", "user.email=a@b", "commit", "-qm", "x"]):
        subprocess.run(["git", *words], cwd=project, check=True)
    commit = subprocess.run(["git", "rev-parse", "HEAD"], cwd=project, capture_output=True, text=True).stdout.strip()
    save_run_record(Project("a.yaml", project), project / "one")
    (project / "templates" / "configs" / "a.yaml").write_text(CONFIG + "more: 1\n")
    save_run_record(Project("a.yaml", project), project / "two")
    one, two = (load_run_record(project / name) for name in ("one", "two"))
    assert [(each.commit, each.modified) for each in (one, two)] == [(commit, False), (commit, True)]
    assert list(one.templates) == list(two.templates) and one.templates != two.templates


def test_a_graph_alone_is_a_record_of_an_older_version(project):
    config = Project("a.yaml", project)
    save_run_record(config, project / "one")
    for name in ("origins.json", "run.json", "config.yaml", "dynamic_args.json"):
        (project / "one" / name).unlink()
    record = load_run_record(project / "one")
    assert record.graph.to_json() == config.graph.to_json() and record.overrides == ()
    with pytest.raises(ProjectError, match="it has no graph"):
        load_run_record(project)


def test_files_that_are_no_records_are_refused(project):
    save_run_record(Project("a.yaml", project), project / "one")
    (project / "one" / "run.json").write_text('{"format": 9}')
    with pytest.raises(GraphError, match="has the format 9, not 1"):
        load_run_record(project / "one")
    for damage in ("[]", '{"git": 3}', '{"overrides": [{"flags": "--set"}]}', '{"templates": 1}', '{"project_dir": 2}'):
        (project / "one" / "run.json").write_text(damage)
        with pytest.raises(GraphError, match=r"run\.json is damaged"):
            load_run_record(project / "one")
    (project / "one" / "run.json").write_text("{")
    with pytest.raises(GraphError, match="is no JSON"):
        load_run_record(project / "one")


@pytest.mark.parametrize(
    ("data", "place"),
    [
        ([], "$: list is no form of a value"),
        ({"$": "map", "n": 0, "items": [["a", {"$ref": 3}]]}, "$.a: no value 3 before this one"),
        ({"$": "map", "n": 0, "items": [["a", {"$ref": 0}]]}, "$.a: no value 0 before this one"),
        ({"$": "seq", "n": 1, "items": []}, "$: the number is 1 instead of 0"),
        ({"$": "set", "n": 0, "items": []}, "$: 'set' is no kind of value"),
        ({"$": "seq", "n": 0}, "$: the items are NoneType, not a list"),
        ({"$": "map", "n": 0, "items": [["a"]]}, "$: the items are no list of pairs"),
        ({"$": "map", "n": 0, "items": [[{"$": "seq", "n": 1, "items": []}, 1]]}, "is no key"),
        ({"$": "call", "n": 0, "args": [], "kwargs": []}, "$: the spec is None, not text"),
        ({"$": "call", "n": 0, "spec": "a", "args": [{}], "kwargs": []}, "$[0]: the number is None instead of 1"),
        ({"$": "var", "n": 0, "name": 3}, "$: the name is 3, not text"),
    ],
)
def test_damage_is_told_by_its_place(data, place):
    with pytest.raises(GraphError) as error:
        graph_from_json(data)
    assert place in str(error.value) and error.value.code == "FG0470"


@given(data=st.data())
@settings(max_examples=150, deadline=None)
def test_any_damage_is_a_graph_error_or_another_graph(data):
    """Replace one part of a saved graph by anything: it is refused, or it is itself a saved graph."""
    saved = Graph(root={"a": [1, {"b": None}], "c": {"d": 2}}).to_json()
    broken = copy.deepcopy(saved)
    parts: list[tuple[Any, Any]] = []
    todo: list[Any] = [broken]
    while todo:
        part = todo.pop()
        if isinstance(part, (dict, list)):
            keys = list(part) if isinstance(part, dict) else range(len(part))
            parts += [(part, key) for key in keys]
            todo += [part[key] for key in keys]
    owner, key = data.draw(st.sampled_from(parts))
    owner[key] = data.draw(st.none() | st.integers() | st.text(max_size=3) | st.just([]) | st.just({}))
    try:
        graph = graph_from_json(broken)
    except GraphError as error:
        assert error.code == "FG0470"
    else:
        assert graph_from_json(graph.to_json()).to_json() == graph.to_json()


def test_damaged_places_are_refused(project):
    graph = Project("a.yaml", project).graph
    places = places_of(graph)
    for damage in ({**places, "spans": []}, {**places, "entries": [[999, "a", 0]]}, [], {"spans": 3}):
        with pytest.raises(GraphError, match="places of the saved graph are damaged"):
            graph_with_places(graph.to_json(), damage)
