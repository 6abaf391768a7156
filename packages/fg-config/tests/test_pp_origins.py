"""`pp --annotate`, `pp --blame` and `pp -d`: the rendered text with its origins."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from fg_config import ConfigEnvironment, Project, RenderedText, Span, commands
from fg_config.command_line import main
from fg_config.parsing.parse import parse_graph
from fg_config.provenance.lines import annotated, blamed, line_spans
from fg_config.provenance.sites import Sites
from fg_config.rendering.sourcemap import SourceMap

BASE = """\
-- macro rows(n)
-- for i in range(n):
row_{{ i }}: {{ i }}
-- endfor
-- endmacro
[head]
name: base

[body]
text: |
    # no comment
    line
folded: "one
    two"
plain: one
    two

== rows(2)
"""
CHILD = """\
-- extends 'base.yaml'
[head]
name: {{ name | default('child') }}

"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("FORGATHER_CONFIG_DIR", str(tmp_path / "user"))
    (tmp_path / "forgather_workspace").mkdir()
    (tmp_path / "templates" / "configs").mkdir(parents=True)
    (tmp_path / "meta.yaml").write_text("")
    (tmp_path / "templates" / "base.yaml").write_text(BASE)
    (tmp_path / "templates" / "configs" / "c.yaml").write_text(CHILD)
    return tmp_path


def pp(folder: Path, capsys: pytest.CaptureFixture[str], *words: str) -> str:
    assert main(commands, ["pp", "-p", str(folder), *words], prog="forgather") == 0
    return capsys.readouterr().out


def test_annotate_names_the_line_behind_each_line_where_a_comment_can_stand(folder, capsys):
    out = pp(folder, capsys, "--annotate")
    assert [line for line in out.splitlines() if line.strip()] == [
        "name: child  # configs/c.yaml:3 [head]",
        "text: |      # base.yaml:10 [body]",
        "    # no comment",
        "    line",
        'folded: "one',
        '    two"     # base.yaml:14 [body]',
        "plain: one",
        "    two      # base.yaml:16 [body]",
        "row_0: 0     # base.yaml:18 [body]",
        "row_1: 1",
    ]
    assert parse_graph(out).to_json() == Project("c.yaml", folder).graph.to_json()


def test_blame_puts_the_place_before_each_line_once_for_a_run_of_lines(folder, capsys):
    out = pp(folder, capsys, "--blame")
    assert [line for line in out.splitlines() if line.strip(" │")] == [
        "configs/c.yaml:3 [head] │ name: child",
        "base.yaml:10 [body]     │ text: |",
        "         :11            │     # no comment",
        "         :12            │     line",
        '         :13            │ folded: "one',
        '         :14            │     two"',
        "         :15            │ plain: one",
        "         :16            │     two",
        "         :18            │ row_0: 0",
        "?                       │ row_1: 1",
    ]


def test_the_templates_as_jinja_sees_them(folder, capsys):
    out = pp(folder, capsys, "-d")
    text, _, templates = out.partition("#==== configs/c.yaml: configs/c.yaml:1 ====\n")
    assert parse_graph(text).at("name") == "child"
    assert templates.startswith("{% extends 'base.yaml' %}\n{% block head %}\nname: {{ name | default('child') }}\n")
    assert "#==== base.yaml: base.yaml:1 ====\n{% macro rows(n) %}" in templates


def test_the_output_goes_to_a_file(folder, capsys):
    assert pp(folder, capsys, "--blame", "-o", str(folder / "out.txt")) == ""
    assert (folder / "out.txt").read_text().startswith("configs/c.yaml:3 [head] │ name: child\n")


def test_annotate_and_blame_exclude_each_other(folder, capsys):
    with pytest.raises(SystemExit) as caught:
        main(commands, ["pp", "-p", str(folder), "--blame", "--annotate"], prog="forgather")
    assert caught.value.code == 2
    assert "not allowed with" in capsys.readouterr().err


def test_what_is_no_yaml_is_annotated_up_to_the_mistake():
    environment = ConfigEnvironment()
    text = environment.preprocess_from_string("a: 1\nb: 'never closed\nc: 2\n")
    assert annotated(text, Sites()).splitlines() == ["a: 1  # <string>:1", "b: 'never closed", "c: 2"]


def test_text_without_a_map_stays_as_it_is():
    text = ConfigEnvironment().load_from_ppstring("a: 1\n").pp_config
    assert (annotated(text, Sites()), blamed(text, Sites())) == ("a: 1\n", "? │ a: 1\n  │")
    assert line_spans(text) == [None, None]


_TEXT = st.text(st.sampled_from("ab #:'\"-\\\n{}[],|>&*!%é\u2028\x85"), max_size=20)
_DATA = st.recursive(
    st.none() | st.booleans() | st.integers() | _TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_TEXT, inner, max_size=3),
    max_leaves=8,
)


@settings(max_examples=150, deadline=None)
@given(
    data=st.dictionaries(st.sampled_from("xyz"), _DATA, min_size=1),
    style=st.sampled_from(["", "|", ">", '"', "'"]),
    width=st.sampled_from([5, 80]),
    flow=st.sampled_from([True, False, None]),
)
def test_a_comment_never_becomes_part_of_a_value(data, style, width, flow):
    plain = yaml.safe_dump(data, default_style=style, width=width, default_flow_style=flow, allow_unicode=True)
    text = mapped(plain)
    commented = annotated(text, Sites())
    assert "  # t.yaml:" in commented
    assert parse_graph(commented).to_json() == parse_graph(text).to_json()


def mapped(text: str) -> RenderedText:
    """`text` as if each of its lines were a line of a template."""
    starts = [0, *(at + 1 for at, character in enumerate(text) if character == "\n")]
    places = [(0, number) for number, _ in enumerate(starts, 1)]
    return RenderedText(text, SourceMap(starts, places, lambda _, line, *rest: Span(file="t.yaml", line=line)))
