"""`explain`: the lines, assignments and flags behind a value, on a project with two levels of templates."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from fg_config import GraphError, Project, commands, explain
from fg_config.changes.run_record import load_run_record, save_run_record
from fg_config.command_line import main
from fg_config.parsing.parse import parse_graph
from fg_config.provenance.report import explanation_text

BASE = """\
-- set ns = namespace(scale=3)
-- block globals
-- set ns.steps = steps | default(500)
-- endblock globals
meta: {config_name: base, host: {{ hostname | toyaml }}, where: {{ project_dir | toyaml }}}
shared: &shared !dict { depth: 4 }
args: &args !call:dict
    root: {{ joinpath(project_dir, 'out') | toyaml }}
-- block args
    steps: -1
    seed: 1
    mode: slow
-- endblock args
-- block optimizer
optimizer: !partial:builtins:dict
    lr: 0.1
    betas:
        first: 0.9
-- endblock optimizer
-- block tail
-- endblock tail
"""
PROJECT = """\
-- extends 'base.yaml'
[globals]
    == super()
    -- set ns.scale = ns.scale * 2
    -- set ns.label = 'run-' ~ ns.steps
[args]
    -- include 'tiny.args'

[tail]
flow: { one: {{ ns.scale }}, two: {{ width | default(7) }}, three: 3 }
merged: !call:dict
    extra: 1
    <<: *shared
list: [ {{ ns.scale }}, plain ]
text: |
    {{ ns.label }}
    more
-- set local = ns.scale + 1
-- for name in ['a', 'b']:
loop_{{ name }}: {{ local }}-{{ name }}
-- endfor
dynamic_args:
    - { names: [ "--steps", "-s" ], type: int }
    - { names: "--width", type: int }

#---- tiny.args ----
-- extends 'deep.args'

[inner]
    == super()
    steps: {{ ns.steps }}
    seed: 2

#---- deep.args ----
-- block inner
    seed: 0
    mode: fast
-- endblock inner
"""
CHILD = """\
-- extends 'project.yaml'
[optimizer]
optimizer: !partial:builtins:dict
    lr: {{ lr | default(0.2) }}
    betas:
        first: 0.8
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("FORGATHER_CONFIG_DIR", str(tmp_path / "user"))
    (tmp_path / "forgather_workspace").mkdir()
    folder = tmp_path / "project"
    (folder / "templates" / "configs").mkdir(parents=True)
    (folder / "meta.yaml").write_text('default_config: "main.yaml"\n')
    (folder / "templates" / "base.yaml").write_text(BASE)
    (folder / "templates" / "project.yaml").write_text(PROJECT)
    (folder / "templates" / "configs" / "main.yaml").write_text("-- extends 'project.yaml'\n")
    (folder / "templates" / "configs" / "child.yaml").write_text(CHILD)
    return folder


def lines_of(text: str, *needles: str) -> list[int]:
    """The line on which each text stands, which is what a site should say."""
    return [text[: text.index(needle)].count("\n") + 1 for needle in needles]


def origins(
    folder: Path, path: str, config: str = "main.yaml", **variables: object
) -> list[tuple[str, str, int, object]]:
    found = explain(Project(config, folder, **variables), path).origins
    return [(origin.kind, origin.site.shown, origin.site.line, origin.value) for origin in found]


# --- layers -------------------------------------------------------------------------------------------------------


def test_a_value_that_a_child_redeclares_behind_super(folder):
    new, old = lines_of(PROJECT, "seed: 2", "seed: 0")
    found = explain(Project("main.yaml", folder), "args.seed")
    assert [(each.kind, each.site.line, each.site.block, each.site.label, each.value) for each in found.origins] == [
        ("super() then redeclared", new, "inner", "tiny.args", "2"),
        ("literal", old, "inner", "deep.args", "0"),
    ]
    assert found.origins[0].site.text == "seed: 2"
    assert (found.value, found.shown) == (2, "2")


def test_a_block_that_a_child_replaced_shows_what_was_never_rendered(folder):
    (new,) = lines_of(CHILD, "lr: {{")
    (old,) = lines_of(BASE, "lr: 0.1")
    assert origins(folder, "optimizer.lr", "child.yaml") == [
        ("default()", "templates/configs/child.yaml", new, "0.2"),
        ("replaced block", "templates/base.yaml", old, None),
    ]
    assert origins(folder, "optimizer.lr") == [("literal", "templates/base.yaml", old, "0.1")]
    assert [each[0] for each in origins(folder, "optimizer.betas.first", "child.yaml")] == ["literal", "replaced block"]


MANY_WRITES = """\
-- extends 'base.yaml'
[globals]
    == super()
[tail]
    == super()
mixed: !call:dict
    <<: *shared
    depth: 5
twice: { seed: 1, seed: 2 }
late: !var { name: width, default: {{ width | default(7) }} }
odd: { null: 1, 2.5: { deep: 2 } }
given: {{ 1 if flag is defined else 2 }}
"""


@pytest.mark.parametrize("path", ["mixed.depth", "twice.seed"])
def test_a_block_that_calls_super_for_something_else_only_redeclares(folder, path):
    (folder / "templates" / "configs" / "many.yaml").write_text(MANY_WRITES)
    assert origins(folder, path, "many.yaml")[0][0] == "redeclared"


def test_the_default_of_a_variable_has_origins_like_any_value(folder):
    (folder / "templates" / "configs" / "many.yaml").write_text(MANY_WRITES)
    (line,) = lines_of(MANY_WRITES, "late:")
    assert origins(folder, "late.default", "many.yaml", width=9) == [
        ("template variable", "templates/configs/many.yaml", line, "9")
    ]
    (entry,) = explain(Project("many.yaml", folder), "late").entries
    assert (entry.name, entry.kind, entry.site.line) == ("default", "default()", line)


def test_keys_that_are_no_text_are_explained_too(folder):
    (folder / "templates" / "configs" / "many.yaml").write_text(MANY_WRITES)
    (line,) = lines_of(MANY_WRITES, "odd:")
    project = Project("many.yaml", folder)
    assert [(each.name, each.site.line) for each in explain(project, "odd").entries] == [("None", line), ("2.5", line)]
    assert explain(project, 'odd."2.5".deep').value == 2


def test_a_name_that_only_the_rendering_template_can_know_says_so(folder):
    (folder / "templates" / "configs" / "many.yaml").write_text(MANY_WRITES)
    text = explanation_text(explain(Project("many.yaml", folder), "given"))
    assert text.endswith("flag  known only while rendering (a loop variable, macro or import), or undefined")


def test_a_merge_names_the_line_that_merged(folder):
    (found,) = explain(Project("main.yaml", folder), "merged.depth").origins
    assert (found.kind, found.site.line) == ("merge", lines_of(BASE, "shared:")[0])
    assert (found.merged_at.shown, found.merged_at.line) == (
        "templates/project.yaml",
        lines_of(PROJECT, "<<: *shared")[0],
    )


def test_a_literal_beside_expressions_on_one_line_is_a_literal(folder):
    (line,) = lines_of(PROJECT, "flow:")
    kinds = {name: origins(folder, f"flow.{name}")[0] for name in ("one", "two", "three")}
    assert kinds["three"] == ("literal", "templates/project.yaml", line, "3")
    assert [kinds[name][0] for name in ("one", "two")] == ["expression", "default()"]
    assert origins(folder, "flow")[0][0] == "literal"


# --- what fed an expression ---------------------------------------------------------------------------------------


def test_a_dynamic_argument_is_followed_through_the_namespace(folder):
    found = explain(Project("main.yaml", folder, steps=300), "args.steps")
    (feed,) = found.origins[0].feeds
    (given,) = feed.feeds
    assert (found.origins[0].kind, found.value) == ("dynamic argument", 300)
    assert (feed.name, feed.value, feed.source, feed.site.line) == ("ns.steps", "300", "set", 3)
    assert (given.name, given.value, given.source, given.given, given.default) == (
        *("steps", "300", "dynamic argument", "--steps"),
        "500",
    )


def test_a_default_stands_in_for_what_was_not_given(folder):
    found = explain(Project("main.yaml", folder), "args.steps")
    (given,) = found.origins[0].feeds[0].feeds
    assert (found.origins[0].kind, found.value) == ("default()", 500)
    assert (given.source, given.value, given.given, given.default) == ("default()", "500", "--steps", "500")


def test_an_assignment_that_reads_itself_means_the_one_before(folder):
    (feed,) = explain(Project("main.yaml", folder), "flow.one").origins[0].feeds
    (before,) = feed.feeds
    assert (feed.name, feed.value, feed.site.shown) == ("ns.scale", "6", "templates/project.yaml")
    assert (before.name, before.value, before.site.line, before.feeds) == ("ns.scale", "3", 1, ())


def test_plain_assignments_are_evaluated_and_loop_variables_are_not(folder):
    found = explain(Project("main.yaml", folder), "loop_b")
    feeds = {feed.name: feed for feed in found.origins[0].feeds}
    assert (found.value, feeds["local"].value, feeds["local"].source) == ("7-b", "7", "set")
    assert (feeds["name"].value, feeds["name"].source) == (None, "local")


@pytest.mark.parametrize(
    ("path", "kind", "given"),
    [
        ("meta.where", "environment", "the project"),
        ("meta.host", "environment", "this machine"),
        ("args.root", "environment", "the project"),
    ],
)
def test_what_comes_from_the_environment(folder, path, kind, given):
    (origin,) = explain(Project("main.yaml", folder), path).origins
    assert (origin.kind, origin.feeds[0].given) == (kind, given)


def test_variables_of_the_caller_that_no_flag_declares(folder):
    (origin, _) = explain(Project("child.yaml", folder, lr=0.5), "optimizer.lr").origins
    assert (origin.kind, origin.feeds[0].given) == ("template variable", "by the caller")


def test_a_block_scalar_is_explained_by_the_lines_in_it(folder):
    (origin,) = explain(Project("main.yaml", folder), "text").origins
    assert [feed.name for feed in origin.feeds] == ["ns.label"]
    assert origin.feeds[0].value == "run-500"


# --- nodes and paths ----------------------------------------------------------------------------------------------


def test_a_node_lists_where_each_argument_comes_from(folder):
    found = explain(Project("main.yaml", folder), "args")
    assert found.shown == "!call:dict"
    assert [(each.name, each.value, each.kind, each.site.shown) for each in found.entries][1:] == [
        ("seed", "2", "super() then redeclared", "templates/project.yaml"),
        ("mode", "fast", "literal", "templates/project.yaml"),
        ("steps", "500", "default()", "templates/project.yaml"),
    ]


def test_the_whole_config_lists_its_targets(folder):
    found = explain(Project("main.yaml", folder))
    assert [each.name for each in found.entries] == list(Project("main.yaml", folder).graph.targets)
    assert found.origins == ()


def test_a_path_that_ends_elsewhere_is_suggested(folder):
    with pytest.raises(GraphError) as caught:
        explain(Project("main.yaml", folder), "lr")
    assert caught.value.help == "there is optimizer.lr"
    with pytest.raises(GraphError) as caught:
        explain(Project("main.yaml", folder), "trainer.betas.first")
    assert caught.value.help == "there is optimizer.betas.first"
    with pytest.raises(GraphError) as caught:
        explain(Project("main.yaml", folder), "args.sed")
    assert caught.value.help == "did you mean 'seed'?"


def test_a_graph_without_its_templates_still_names_the_lines():
    found = explain(parse_graph("a: !call:f\n    x: 1\n    x: 2\n"), "a.x")
    assert [(each.kind, each.site.line) for each in found.origins] == [("redeclared", 3), ("written", 2)]


def test_explaining_imports_nothing_that_the_config_names(folder):
    (folder / "templates" / "configs" / "main.yaml").write_text("a: !call:colorsys:rgb_to_hsv { r: 1 }\n")
    sys.modules.pop("colorsys", None)
    explain(Project("main.yaml", folder), "a.r")
    assert "colorsys" not in sys.modules


# --- the verb -----------------------------------------------------------------------------------------------------


def run(folder: Path, capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    code = main(commands, ["explain", "-p", str(folder), *words], prog="forgather")
    return code, *capsys.readouterr()


def test_the_report(folder, capsys):
    code, out, _ = run(folder, capsys, "args.steps", "--steps", "300")
    (line,) = lines_of(PROJECT, "steps: {{ ns.steps }}")
    assert code == 0
    assert out.splitlines() == [
        "args.steps = 300",
        "  dynamic argument  --steps 300",
        f"  templates/project.yaml:{line} [inner] in sub-template tiny.args    steps: {{{{ ns.steps }}}}",
        "        ns.steps = 300  templates/base.yaml:3 [globals]    -- set ns.steps = steps | default(500)",
        "        steps = 300     given (--steps); default 500",
    ]


def test_the_report_of_older_layers(folder):
    text = explanation_text(explain(Project("main.yaml", folder), "args.seed"))
    new, old = lines_of(PROJECT, "seed: 2", "seed: 0")
    assert text.splitlines() == [
        "args.seed = 2",
        "  super() then redeclared",
        f"  templates/project.yaml:{new} [inner] in sub-template tiny.args    seed: 2",
        f"  overrides  templates/project.yaml:{old} [inner] in sub-template deep.args    seed: 0  (literal, 0)",
    ]


def test_json_holds_what_the_report_shows(folder, capsys):
    _, out, _ = run(folder, capsys, "args.steps", "--json")
    found = json.loads(out)
    assert (found["path"], found["value"], found["origins"][0]["kind"]) == ("args.steps", 500, "default()")
    assert found["origins"][0]["feeds"][0]["feeds"][0]["default"] == "500"
    assert found["origins"][0]["site"]["file"] == str(folder / "templates" / "project.yaml")


def test_an_override_is_the_newest_layer(folder, capsys):
    _, out, _ = run(folder, capsys, "args.seed", "--set", "args.seed=9", "--json")
    found = json.loads(out)
    assert (found["value"], [each["kind"] for each in found["origins"]]) == (
        9,
        ["override", "super() then redeclared", "literal"],
    )


def test_a_saved_run_names_the_lines_as_they_were(folder, capsys, monkeypatch, tmp_path):
    save_run_record(Project("main.yaml", folder, overrides=["args.mode=slow"]), tmp_path / "run")
    (line,) = lines_of(PROJECT, "seed: 2")
    monkeypatch.chdir(tmp_path / "run")  # no project here
    assert main(commands, ["explain", "--run", ".", "args.seed"], prog="forgather") == 0
    assert capsys.readouterr().out.splitlines()[:3] == [
        "args.seed = 2",
        "  redeclared",
        f"  templates/project.yaml:{line} in sub-template tiny.args    seed: 2",
    ]
    assert main(commands, ["explain", "--run", ".", "--set", "args.seed=3"], prog="forgather") == 2
    assert "--run explains what was" in capsys.readouterr().err
    (folder / "templates" / "project.yaml").write_text("changed: 1\n")
    found = explain(load_run_record(tmp_path / "run"), "args.mode")
    assert [(each.kind, each.value, each.site.text) for each in found.origins] == [
        ("override", "slow", ""),
        ("written", "fast", ""),
    ]


def test_a_wrong_path_is_exit_code_2(folder, capsys):
    code, out, err = run(folder, capsys, "lr")
    assert (code, out) == (2, "")
    assert "there is optimizer.lr" in err


def test_unset_lists_what_callables_default_to(folder, capsys):
    (folder / "tool.py").write_text("def make(a, b=2, *, c='x', d=None):\n    return a\n")
    (folder / "templates" / "configs" / "main.yaml").write_text(
        f"a: !call:{folder / 'tool.py'}:make\n    arg0: 1\n    c: y\nb: !call:no_such_package:f []\n"
    )
    code, out, _ = run(folder, capsys, "--unset")
    assert code == 0
    first, *rest = out.splitlines()
    assert first == f"a: {folder / 'tool.py'}:make"
    assert rest[:3] == ["    b = 2", "    d = None", "b: no_such_package:f"]
    _, out, _ = run(folder, capsys, "a", "--unset", "--json")
    assert [(each["path"], each["parameters"], each["line"]) for each in json.loads(out)] == [
        ("a", {"b": "2", "d": "None"}, 1)
    ]
    assert "tool" not in sys.modules
