"""What must hold for any text that somebody takes for a config, however broken.

A text may hold several templates, separated as in a file (`#---- name ----`); the first is the config. It is either
refused with a `ConfigError`, or it has a graph; then the listings of the graph must mean what the graph means.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime

from fg_config import diff, graph_from_json
from fg_config.building.resolver import resolve_alias
from fg_config.environment import ConfigEnvironment
from fg_config.errors import ConfigError
from fg_config.exporting.export_python import render_source, to_source
from fg_config.exporting.export_yaml import to_yaml
from fg_config.graph import Graph
from fg_config.parsing.parse import parse_graph
from fg_config.projects.dynamic_args import parse_dynamic_args
from fg_config.rendering.preprocess import preprocess
from fg_config.rendering.source import split_source

_NOW = datetime(2000, 1, 1, tzinfo=UTC)
_VARIABLES = {"lr": 1.0e-3, "names": ["a", "b"], "project_dir": "/project", "workspace_root": "/"}


def check_laws(text: str) -> None:
    """Raise `AssertionError`, or whatever escaped, when a law is broken."""
    environment = ConfigEnvironment(now=_NOW, global_vars=_VARIABLES)
    first, *labelled = split_source(text, name="main", file="<fuzz>")
    for template in (first, *labelled):
        before = template.text.replace("\r\n", "\n").replace("\r", "\n").count("\n")
        assert preprocess(template.text).count("\n") == before, "the shorthand changed the number of lines"
        environment.add_template(template.name, template.text)
    try:
        graph = environment.load("main").graph
    except ConfigError as error:
        _check_report(error)
        return
    _check_listings(graph)


def _check_report(error: ConfigError) -> None:
    assert error.message.strip(), "an error without a message"
    assert str(error).startswith(f"{error.severity}[{error.code}]"), "an error without its code"


def _check_listings(graph: Graph) -> None:
    """Whatever is accepted can be written as YAML that reads back equal, and as Python that compiles."""
    meaning = json.dumps(graph.to_json())
    text = to_yaml(graph.root)
    assert json.dumps(parse_graph(text).to_json()) == meaning, f"reads back as something else:\n{text}"
    saved = graph_from_json(json.loads(meaning))
    assert json.dumps(saved.to_json()) == meaning, "the saved graph is another"
    assert not diff(graph, saved).changes, "the saved graph differs"
    for check in (_check_python, parse_dynamic_args):
        try:
            check(graph)
        except ConfigError as error:  # not every graph can be said in Python, nor declares flags
            _check_report(error)


def _check_python(graph: Graph) -> None:
    compile(render_source(to_source(graph.root, alias=resolve_alias)), "<exported>", "exec", dont_inherit=True)
