"""How deeply a graph may nest: what can be read can also be compared, changed, saved and read back."""

from __future__ import annotations

import json

import pytest

from fg_config import ConfigError, Graph, Override, Project, YamlError, diff, load_run_record, save_run_record
from fg_config.changes.overrides import overridden, overrides_of
from fg_config.changes.relocate import Relocation
from fg_config.changes.saved_graph import graph_from_json
from fg_config.parsing.parse import parse_graph
from fg_config.walking import MOST_NESTED

LINKS = {  # and how many levels each adds
    "lists": ("a{n}: &a{n} [*a{m}]", 1),
    "mappings": ("a{n}: &a{n} {{x: *a{m}}}", 1),
    "tagged lists": ("a{n}: &a{n} !list [*a{m}]", 2),
    "calls": ("a{n}: &a{n} !call:dict {{x: *a{m}}}", 1),
    "positional arguments": ("a{n}: &a{n} !call:list [*a{m}]", 1),
    "variables": ("a{n}: &a{n} !var {{name: v, default: *a{m}}}", 1),
    "latent arguments": ("a{n}: &a{n} !call:dict {{latent_args: *a{m}}}", 1),
}


def chain(link: str, length: int) -> str:
    """`length` entries, each of which holds the one before, and `main`, which holds the last."""
    lines = [link.format(n=n, m=n - 1) for n in range(1, length + 1)]
    return "\n".join(["a0: &a0 {}", *lines, f"main: *a{length}"])


def longest(kind: str) -> str:
    """The longest chain that is read: `a0` and the root are levels, too."""
    link, levels = LINKS[kind]
    return chain(link, (MOST_NESTED - 2) // levels)


@pytest.mark.parametrize("kind", LINKS)
def test_a_long_chain_of_aliases_is_one_error_at_its_line(kind):
    link, levels = LINKS[kind]
    with pytest.raises(YamlError, match=f"more than {MOST_NESTED} levels") as caught:
        parse_graph(chain(link, 1200))
    assert caught.value.span.line == (MOST_NESTED - 1) // levels + 2


@pytest.mark.parametrize("kind", LINKS)
def test_what_can_be_read_can_be_compared_changed_saved_and_moved(kind):
    graph = parse_graph(longest(kind))
    changed = overridden(graph, overrides_of(["+more=1"]))
    assert [change.path for change in diff(graph, changed).changes] == ["more"]
    assert not diff(graph, Relocation(before="/a", after="/b", file_name=str).graph(graph))
    deep = Graph({"main": graph.target("main")})  # nothing that is met earlier shortens the way
    assert not diff(deep, graph_from_json(json.loads(json.dumps(deep.to_json(), indent=1))))
    with pytest.raises(ConfigError):
        overridden(graph, overrides_of(["nowhere=1"]))


def test_the_record_of_a_run_can_be_read_back(tmp_path, monkeypatch):
    monkeypatch.setenv("FORGATHER_CONFIG_DIR", str(tmp_path / "user"))
    (tmp_path / "forgather_workspace").mkdir()
    (tmp_path / "templates" / "configs").mkdir(parents=True)
    (tmp_path / "meta.yaml").write_text("name: Deep\n")
    (tmp_path / "templates" / "configs" / "a.yaml").write_text(longest("calls"))
    project = Project("a.yaml", tmp_path)
    save_run_record(project, tmp_path / "run")
    assert not diff(project.graph, load_run_record(tmp_path / "run").graph)


@pytest.mark.parametrize("depth", [MOST_NESTED, 900, 200_000])
def test_an_override_cannot_nest_more_deeply_either(depth):
    graph = parse_graph("main: !call:dict {x: ~}")
    for flag in ("--set", "--set-json"):
        text = f"main.x={'[' * depth}{']' * depth}"
        with pytest.raises(ConfigError, match="deep"):
            overridden(graph, [Override(text=text, flag=flag)])
