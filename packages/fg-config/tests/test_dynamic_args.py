"""Flags that a config declares, read without running anything."""

import argparse
import logging

import pytest

from fg_config import ProjectError, parse_dynamic_args
from fg_config.parsing.parse import parse_graph

TEXT = """\
dynamic_args: !dlist
    lr:
        names: ["-L", "--learning-rate"]
        type: float
        help: "peak"
        default: 5
    steps: {names: --max-steps, type: int}
    gone: ~
    flag: {names: "--no-cache", action: store_true}
    where: {names: --out, type: path}
    mode: {names: --mode, choices: [a, b]}
    many: {names: --many, type: bool, nargs: "*"}
"""


def parse(text=TEXT, **kwargs):
    return parse_dynamic_args(parse_graph(text), **kwargs)


def failure(entry):
    with pytest.raises(ProjectError) as caught:
        parse(f"dynamic_args:\n    - {entry}\n")
    return caught.value


def command_line(words):
    parser = argparse.ArgumentParser(allow_abbrev=False)
    for argument in parse():
        parser.add_argument(*argument.names, **argument.argparse_kwargs())
    return {name: value for name, value in vars(parser.parse_args(words)).items() if value is not None}


def test_declarations():
    arguments = parse()
    assert [argument.dest for argument in arguments] == [
        "learning_rate",
        "max_steps",
        "no_cache",
        "out",
        "mode",
        "many",
    ]
    assert [argument.type for argument in arguments] == ["float", "int", "str", "path", "str", "bool"]
    assert arguments[0].names == ("-L", "--learning-rate")
    assert arguments[1].span.line == 7


def test_aliases_of_aliases_are_read_once_each():
    levels = "".join(f", &a{n} [*a{n - 1}, *a{n - 1}]" for n in range(1, 60))
    [argument] = parse(f"dynamic_args:\n    - {{names: --x, choices: [&a0 [1]{levels}]}}\n")
    assert argument.choices[:3] == ([1], [[1], [1]], [[[1], [1]], [[1], [1]]])


def test_what_is_not_given_stays_undefined():
    assert command_line([]) == {}
    assert command_line(["--no-cache", "-L", "1e-3"]) == {"no_cache": True, "learning_rate": 0.001}


def test_values_have_their_types(monkeypatch):
    monkeypatch.setenv("HOME", "/home/u")
    words = ["--max-steps", "5", "--out", "~/x", "--mode", "b", "--many", "yes", "0"]
    assert command_line(words) == {"max_steps": 5, "out": "/home/u/x", "mode": "b", "many": [True, False]}


@pytest.mark.parametrize("words", [["--max-steps", "five"], ["--mode", "c"], ["--many", "maybe"], ["--max", "5"]])
def test_wrong_words_end_the_command(words, capsys):
    with pytest.raises(SystemExit) as caught:
        command_line(words)
    assert caught.value.code == 2
    assert words[-1] in capsys.readouterr().err


def test_a_word_that_is_no_value():
    steps, mode = parse()[1], parse()[4]
    assert steps.convert("7") == 7
    with pytest.raises(argparse.ArgumentTypeError, match="'x' is no int"):
        steps.convert("x")
    with pytest.raises(argparse.ArgumentTypeError, match="'c' is none of a, b"):
        mode.convert("c")


@pytest.mark.parametrize(
    ("entry", "message", "help"),
    [
        ("5", "is a mapping", None),
        ("{type: int}", "has no names", None),
        ("{names: --x, tpye: int}", "unknown key 'tpye'", "did you mean 'type'?"),
        ("{names: --x, type: integer}", "unknown type 'integer'", "did you mean 'int'?"),
        ("{names: --x, action: store_yes}", "unknown action", "did you mean"),
        ("{names: x y}", "is no flag", None),
        ("{names: --x, choices: 5}", "is a list", None),
        ("{names: --x, help: !call:len [[]]}", "plain values", None),
    ],
)
def test_wrong_entries(entry, message, help):
    error = failure(entry)
    assert message in error.message
    assert help is None or help in error.help
    assert error.span is not None


def test_a_stray_character_is_repaired(caplog):
    with caplog.at_level(logging.WARNING):
        (argument,) = parse("dynamic_args:\n    - names: '--num-attention-heads\"'\n")
    assert (argument.names, argument.dest) == (("--num-attention-heads",), "num_attention_heads")
    assert "--num-attention-heads" in caplog.text


@pytest.mark.parametrize(
    ("second", "word"), [("{names: --lr}", "declared twice"), ("{names: --LR, dest: lr}", "same variable 'lr'")]
)
def test_two_entries_that_collide(second, word):
    with pytest.raises(ProjectError, match=word) as caught:
        parse(f"dynamic_args:\n    - {{names: --lr}}\n    - {second}\n")
    assert caught.value.span.line == 3


def test_a_flag_of_the_command_is_taken():
    with pytest.raises(ProjectError, match="which the command itself has"):
        parse(reserved=["--max-steps"])


def test_no_declarations():
    assert parse("main: 1\n") == ()
    assert parse("dynamic_args: !dlist {~: ~}\n") == ()


@pytest.mark.parametrize(
    "entry",
    [
        "{names: --config-name}",
        "{names: --policy}",
        "{names: --project_dir}",
        "{names: --file, dest: output}",
    ],
)
def test_variables_that_the_command_itself_uses_are_refused(entry):
    with pytest.raises(ProjectError, match="which the command itself uses"):
        parse(f"dynamic_args: [{entry}]\n", reserved={"--output", "-p", "--project-dir"})
