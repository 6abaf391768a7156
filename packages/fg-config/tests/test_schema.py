"""The schemas agree with what is read, and with what callables say of themselves."""

from __future__ import annotations

import argparse
import json
import logging
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from jsonschema.exceptions import ValidationError

from fg_config import ConfigError, ProjectError, commands
from fg_config.command_line import main
from fg_config.nodes import Call
from fg_config.parsing.parse import parse_graph
from fg_config.projects.dynamic_args import parse_dynamic_args
from fg_config.projects.meta import read_project_meta
from fg_config.schema.arguments import target_schema
from fg_config.schema.records import dynamic_args_schema, meta_schema


def accepted(schema: dict[str, Any], value: Any) -> bool:
    Draft202012Validator.check_schema(schema)
    try:
        Draft202012Validator(schema).validate(value)
    except ValidationError:
        return False
    return True


class Heard(logging.Handler):
    """Collects warnings."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.records: list[logging.LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.records.append(record)


@pytest.fixture
def heard() -> Any:
    handler = Heard()
    logger = logging.getLogger("fg_config")
    logger.addHandler(handler)
    yield handler.records
    logger.removeHandler(handler)


# --- meta.yaml ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("record", "valid"),
    [
        ({}, True),
        (None, True),
        ({"name": "A", "description": "B", "config_prefix": "configs", "default_config": "a.yaml"}, True),
        ({"searchdir": ["templates", "/elsewhere"], "system_path": "src"}, True),
        ({"searchdir": "templates", "name": None}, True),
        ({".define": 3, "name": "A"}, True),
        ({"searchpath": ["templates"]}, False),
        ({"name": 3}, False),
        ({"searchdir": 3}, False),
        ({"searchdir": [3]}, False),
        ({"default_config": ["a.yaml"]}, False),
        ([], False),
    ],
)
def test_meta_is_read_as_its_schema_says(
    record: Any, valid: bool, tmp_path: Path, heard: list[logging.LogRecord]
) -> None:
    assert accepted(meta_schema(), record) is valid
    (tmp_path / "forgather_workspace").mkdir()
    (tmp_path / "meta.yaml").write_text("" if record is None else json.dumps(record))
    if valid:
        read_project_meta(tmp_path)
        assert not heard
        return
    try:
        read_project_meta(tmp_path)
    except ProjectError:
        return
    assert heard


# --- dynamic_args ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "valid"),
    [
        (None, True),
        ([], True),
        ([{"names": "--lr", "type": "float"}, None], True),
        ({"lr": {"names": ["--lr", "-L"], "help": "50% of it", "default": 1}, "gone": None}, True),
        ([{"names": "--loud", "action": "store_true", "metavar": "X"}], True),
        ([{"names": "--n", "nargs": "+", "type": "int", "choices": [1, 2]}], True),
        ([{"names": "--n", "nargs": "?", "const": 4}], True),
        ([{"names": "--n", "type": None, "choices": None}], True),
        ([{"names": "--n", "const": 4}], False),
        ([{"names": "--n", "nargs": 0}], False),
        ([{"names": "--n", "nargs": True}], False),
        ([{"names": "--n", "type": "flaot"}], False),
        ([{"names": "--n", "type": ["int"]}], False),
        ([{"names": "--n", "action": "version"}], False),
        ([{"names": "--n", "required": "yes"}], False),
        ([{"names": "--n", "help": 3}], False),
        ([{"names": "--n", "choices": "ab"}], False),
        ([{"names": '--n"'}], False),
        ([{"names": []}], False),
        ([{"type": "int"}], False),
        ([{"names": "--n", "typ": "int"}], False),
        (["--n"], False),
        ("--n", False),
    ],
)
def test_dynamic_args_are_read_as_their_schema_says(value: Any, valid: bool, heard: list[logging.LogRecord]) -> None:
    assert accepted(dynamic_args_schema(), value) is valid
    assert quietly_read(value, heard) is valid


WORDS = st.sampled_from(
    ["int", "str", "path", "store", "store_true", "store_const", "append", "?", "+", "", "50%", "x"]
)
ANYTHING = st.none() | st.booleans() | st.integers(-1, 3) | WORDS | st.lists(WORDS | st.integers(0, 2), max_size=2)
ENTRY = st.fixed_dictionaries(
    {"names": st.sampled_from(["--one", ["--one", "-o"], "one", [], None])},
    optional={
        "type": st.sampled_from(["int", "float", "bool", "str", "path"]) | ANYTHING,
        "action": st.sampled_from(["store", "store_true", "store_false", "store_const", "append"]) | ANYTHING,
        "nargs": st.sampled_from(["?", "*", "+", 1, 2]) | ANYTHING,
        **dict.fromkeys(("choices", "metavar", "help", "const", "required", "default", "typ"), ANYTHING),
    },
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(ENTRY)
def test_an_entry_is_read_exactly_when_the_schema_accepts_it(heard: list[logging.LogRecord], entry: Any) -> None:
    assert quietly_read([entry], heard) is accepted(dynamic_args_schema(), [entry])


def quietly_read(value: Any, heard: list[logging.LogRecord]) -> bool:
    """Whether the value is read without an error and without a warning, and argparse takes what came of it."""
    heard.clear()
    graph = parse_graph(json.dumps({"dynamic_args": value}))
    try:
        arguments = parse_dynamic_args(graph)
    except ProjectError:
        return False
    parser = argparse.ArgumentParser(prog="x")
    for argument in arguments:
        parser.add_argument(*argument.names, **argument.argparse_kwargs())
    assert all(argument.names[0] in parser.format_help() for argument in arguments)
    return not heard


# --- targets --------------------------------------------------------------------------------------------------------

MODULE = '''\
from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(kw_only=True)
class Options:
    """Options of a run."""

    steps: int
    lr: float = 1e-3
    mode: Literal["fast", "slow"] = "fast"
    name: str | None = None


def scale(values: list[float], /, by: float = 2.0, **more): ...


def join(left: str, right: str): ...
'''


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("FORGATHER_CONFIG_DIR", str(tmp_path / "user"))
    (tmp_path / "things.py").write_text(MODULE)
    return tmp_path


def arguments_of(folder: Path, text: str) -> tuple[dict[str, Any], Any]:
    """The schema for the target `it` of a config, and the keywords that it gives."""
    graph = parse_graph(text, directory=folder)
    node = graph.target("it")
    assert isinstance(node, Call)
    return target_schema(graph, "it"), dict(node.kwargs)


@pytest.mark.parametrize(
    ("text", "valid"),
    [
        ("it: !call:things.py:Options { steps: 3 }", True),
        ("it: !call:things.py:Options { steps: 3, lr: 1, mode: slow, name: ~ }", True),
        ("it: !call:things.py:Options { steps: 3, lr: 1e-3 }", False),  # a string in YAML
        ("it: !call:things.py:Options { steps: 3.5 }", False),
        ("it: !call:things.py:Options { steps: 3, mode: fats }", False),
        ("it: !call:things.py:Options { steps: 3, lrr: 1.0 }", False),
        ("it: !call:things.py:Options { lr: 0.5 }", False),
        ("it: !partial:things.py:Options { lr: 0.5 }", True),
        ("it: !call:things.py:join { left: a, right: b }", True),
        ("it: !call:things.py:join { left: a }", False),
    ],
)
def test_arguments_against_the_schema_of_their_callable(folder: Path, text: str, valid: bool) -> None:
    schema, given_arguments = arguments_of(folder, text)
    assert accepted(schema, given_arguments) is valid


def test_a_schema_tells_defaults_types_and_what_it_is(folder: Path) -> None:
    schema, _ = arguments_of(folder, "it: !call:things.py:Options { steps: 3 }")
    assert (schema["title"], schema["description"]) == ("things.py:Options", "Options of a run.")
    assert schema["properties"]["lr"] == {"type": "number", "description": "float", "default": 0.001}
    assert schema["properties"]["name"] == {"type": ["string", "null"], "description": "str | None", "default": None}
    assert schema["required"] == ["steps"] and schema["additionalProperties"] is False


def test_positions_are_accepted_under_their_names(folder: Path) -> None:
    schema, _ = arguments_of(folder, "it: !call:things.py:scale { arg0: [ 1.0 ], by: 3.0 }")
    assert accepted(schema, {"arg0": [1.0], "by": 3.0, "other": "x"})
    assert accepted(schema, {"args": [[1.0]]})
    assert not accepted(schema, {"by": 3.0}) and not accepted(schema, {"arg0": [1.0], "by": "3"})


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("it: 3", "'it' calls nothing"),
        ("it: !list [ 1 ]", "'it' calls nothing"),
        ("it: !call:things.py:Option {}", "did you mean 'Options'?"),
        ("it: !call:dict { a: 1 }", "does not say what it accepts"),
    ],
)
def test_targets_without_arguments_to_describe(folder: Path, text: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        target_schema(parse_graph(text, directory=folder), "it")
    assert message in str(caught.value)


# --- the verb -------------------------------------------------------------------------------------------------------


def test_the_verb_prints_the_schemas(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "forgather_workspace").mkdir()
    (folder / "templates" / "configs").mkdir(parents=True)
    (folder / "meta.yaml").write_text("name: it\n")
    (folder / "templates" / "configs" / "a.yaml").write_text("it: !call:things.py:Options { steps: 3 }\n")
    assert main(commands, ["schema", "meta"]) == 0
    assert json.loads(capsys.readouterr().out) == meta_schema()
    assert main(commands, ["schema", "dynamic_args", "-o", str(folder / "schema.json")]) == 0
    assert json.loads((folder / "schema.json").read_text()) == dynamic_args_schema()
    assert main(commands, ["schema", "target", "--target", "it", "-p", str(folder)]) == 0
    assert list(json.loads(capsys.readouterr().out)["properties"])[-4:] == ["steps", "lr", "mode", "name"]
    assert main(commands, ["schema", "target", "--target", "its", "-p", str(folder)]) == 2
    assert "did you mean 'it'?" in capsys.readouterr().err
