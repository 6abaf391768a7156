"""The chain below an error: every statement that led there, and circles of statements."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from fg_config import commands
from fg_config.command_line import main
from fg_config.environment import ConfigEnvironment
from fg_config.errors import TemplateError
from fg_config.nodes import Step


def failure(directory: Path, files: dict[str, str], first: str = "main") -> TemplateError:
    for name, text in files.items():
        (directory / name).write_text(text)
    with pytest.raises(TemplateError) as caught:
        ConfigEnvironment(directory).preprocess(first)
    return caught.value


def steps(error: TemplateError) -> list[tuple[str, int, str]]:
    """File, line and statement of each step."""
    assert error.span is not None
    return [(Path(each.file).name, each.line, each.action) for each in error.span.via if isinstance(each, Step)]


def test_every_step_says_what_it_does_and_in_which_block(tmp_path):
    error = failure(tmp_path, {
        "main": "-- extends 'child'\n",
        "child": "-- extends 'base'\n[body]\na: 1\n    [inner]\n-- include 'part'\n",
        "base": "-- block body\n-- endblock body\n",
        "part": "-- from 'macros' import show\nx: {{ show() }}\n",
        "macros": "-- set x = nowhere + 1\n-- macro show()\n-- endmacro\n",
    })  # fmt: skip
    assert steps(error) == [
        ("part", 1, "import"),
        ("child", 5, "include in block 'inner'"),
        ("main", 1, "extends"),
    ]
    assert f"\n  via {tmp_path / 'child'}:5 include in block 'inner'\n" in str(error)


def test_a_step_in_a_sub_template_names_it(tmp_path):
    error = failure(tmp_path, {"main": "-- include 'mine'\n\n#--- mine ---\n\n-- include 'part'\n", "part": "{{ x }}"})
    assert f"\n  via {tmp_path / 'main'}:5 (in sub-template mine) include\n" in str(error)


def test_a_long_chain_is_shown_by_its_ends(tmp_path):
    again = "-- set ns.n = ns.n + 1\n-- if ns.n < 60\n-- include 'again'\n-- else\n{{ nowhere }}\n-- endif\n"
    error = failure(tmp_path, {"main": "-- set ns = namespace(n=0)\n-- include 'again'\n", "again": again})
    shown = [line for line in str(error).splitlines() if line.startswith("  via ")]
    assert len(shown) == 12 and shown[9] == "  via 49 more" and shown[-1] == f"  via {tmp_path / 'main'}:2 include"


# --- circles ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("files", "verb", "names", "place"),
    [
        ({"q1": "a: 1\n-- include 'q2'\n", "q2": "-- include 'q1'\n"}, "include", "q1 q2 q1", ("q1", 2)),
        ({"q1": "-- include 'q1'\n"}, "include", "q1 q1", ("q1", 1)),
        ({"q1": "\n-- import 'q2' as m\n", "q2": "-- from 'q1' import x\n"}, "import", "q1 q2 q1", ("q1", 2)),
        ({"q1": "-- include 'q2'\n", "q2": "-- extends 'q1'\n"}, "lead to", "q1 q2 q1", ("q1", 1)),
        ({"q1": "-- extends 'q2'\n", "q2": "-- extends 'q1'\n"}, "extend", "q1 q2 q1", ("q1", 1)),
        (
            {"q1": "-- extends 'q2'\n[body]\n-- include 'q1'\n", "q2": "-- block body\n-- endblock\n"},
            "include",
            "q1 q1",
            ("q1", 3),
        ),
    ],
    ids=["include", "itself", "import", "mixed", "extends", "in a block"],
)
def test_a_circle_names_its_steps_and_the_statement_that_begins_it(tmp_path, files, verb, names, place):
    error = failure(tmp_path, {"main": "b: 1\n-- include 'q1'\n", **files})
    chain = " -> ".join(f"{name} ({tmp_path / name})" for name in names.split())
    assert (error.code, error.message) == ("FG0205", f"templates {verb} each other in a circle: {chain}")
    assert error.span is not None and (Path(error.span.file).name, error.span.line) == place
    assert steps(error)[-1] == ("main", 2, "include")
    assert error.help and error.snippet == files[place[0]].split("\n")[place[1] - 1]


def test_a_deep_macro_is_no_circle_of_templates(tmp_path):
    error = failure(tmp_path, {"main": "-- macro down(n)\n{{ down(n + 1) }}\n-- endmacro\na: {{ down(0) }}\n"})
    assert (error.code, error.message) == ("FG0205", "templates nest too deeply")


def test_a_child_may_include_its_parent_on_the_way_to_a_circle(tmp_path):
    error = failure(tmp_path, {
        "main": "-- extends 'base'\n[body]\n-- include 'base'\n",
        "base": "-- block body\n-- include 'loop'\n-- endblock\n",
        "loop": "-- include 'loop'\n",
    })  # fmt: skip
    assert error.message.endswith(f"in a circle: loop ({tmp_path / 'loop'}) -> loop ({tmp_path / 'loop'})")


# --- other forms --------------------------------------------------------------------------------------------------


def test_json_and_sarif_say_what_a_step_does(tmp_path, monkeypatch, capsys):
    (tmp_path / "forgather_workspace").mkdir()
    (tmp_path / "templates" / "configs").mkdir(parents=True)
    (tmp_path / "meta.yaml").write_text("default_config: c.yaml\n")
    (tmp_path / "templates" / "configs" / "c.yaml").write_text("-- include 'part'\n")
    (tmp_path / "templates" / "part").write_text("a: {{ nowhere }}\n")
    monkeypatch.chdir(tmp_path)

    assert main(commands, ["check", "--json"], prog="forgather") == 1
    (finding,) = json.loads(capsys.readouterr().out)["findings"]
    via = {"file": "templates/configs/c.yaml", "line": 1, "column": 0, "label": None}
    assert finding["via"] == [{**via, "statement": "include", "block": None}]

    assert main(commands, ["check", "--sarif"], prog="forgather") == 1
    (result,) = json.loads(capsys.readouterr().out)["runs"][0]["results"]
    assert [each["message"] for each in result["relatedLocations"]] == [{"text": "include"}]


def test_trefs_tells_imports_from_includes(tmp_path, monkeypatch, capsys):
    (tmp_path / "forgather_workspace").mkdir()
    (tmp_path / "templates" / "configs").mkdir(parents=True)
    (tmp_path / "meta.yaml").write_text("default_config: c.yaml\n")
    (tmp_path / "templates" / "configs" / "c.yaml").write_text(
        "-- from 'm' import f\n-- include 'part'\n\na: {{ f() }}"
    )
    (tmp_path / "templates" / "m").write_text("-- macro f()\n1\n-- endmacro\n")
    (tmp_path / "templates" / "part").write_text("b: 2\n")
    monkeypatch.chdir(tmp_path)
    assert main(commands, ["trefs", "--format", "json"], prog="forgather") == 0
    kinds = {row["name"]: row["kind"] for row in json.loads(capsys.readouterr().out)}
    assert kinds == {"configs/c.yaml": None, "m": "import", "part": "include"}
