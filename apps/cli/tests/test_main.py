"""The umbrella command: help that imports nothing, dispatch, and messages for what is not there."""

from __future__ import annotations

import importlib
import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from fg_cli.main import split
from fg_cli.verbs import VERBS
from fg_config import command_line

HEAVY = ("torch", "transformers", "jinja2", "yaml", "numpy", "fg_config.projects.project", "rich")


def test_help_lists_every_verb_and_imports_nothing_heavy():
    code = (
        "import sys, json; from fg_cli.main import main; code = main(['--help']);"
        f"print(json.dumps([code, [name for name in {HEAVY!r} if name in sys.modules]]), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert json.loads(done.stderr) == [0, []]
    for name, verb in VERBS.items():
        assert f"  {name} " in done.stdout and verb.help in done.stdout


def test_no_verb_is_help(forgather):
    done = forgather()
    assert (done.returncode, done.stdout) == (0, forgather("-h").stdout)
    assert done.stdout.startswith("usage: forgather")


def test_version(forgather):
    from fg_cli import __version__

    assert forgather("--version").stdout == f"forgather {__version__}\n"


def test_unknown_verb_suggests_the_near_one(forgather):
    done = forgather("trian")
    assert done.returncode == 1
    assert "unknown verb 'trian'" in done.stderr and "'train'" in done.stderr


def test_an_option_without_a_verb_is_an_error(forgather):
    done = forgather("--confg", "x")
    assert done.returncode == 1 and "unknown verb 'x'" in done.stderr
    done = forgather("-p", "x")
    assert done.returncode == 2 and "-p needs a verb" in done.stderr


def test_a_flag_of_the_config_before_the_verb_is_put_right(forgather, project):
    done = forgather("-p", project, "--seed", "7", "construct", "--call")
    assert (done.returncode, done.stdout) == (2, "")
    assert "--seed stands before the verb" in done.stderr
    assert f"help: forgather construct -p {project} --seed 7 --call" in done.stderr
    assert "first: 7" in forgather("-p", project, "--seed=7", "pp").stdout  # one word needs no guess


def test_a_flag_before_a_verb_that_does_not_have_it_leads_to_the_help_of_the_verb(forgather, project):
    done = forgather("-p", project, "--set", "main.second=3", "pp")
    assert done.returncode == 2
    assert done.stderr.endswith("'pp' has no --set either\n  help: `forgather pp --help` explains its flags\n")
    done = forgather("-p", project, "--set", "main.second=3", "construct")
    assert f"help: forgather construct -p {project} --set main.second=3" in done.stderr


def test_help_is_a_word_too(forgather):
    assert forgather("help").stdout == forgather("--help").stdout
    assert forgather("help", "trust").stdout == forgather("trust", "--help").stdout
    done = forgather("help", "trsut")
    assert done.returncode == 1 and "did you mean 'trust'" in done.stderr


@pytest.mark.parametrize("words", [["--help"], ["-h"], ["--version"], ["trust", "--help"], ["--complete", ""]])
def test_a_reader_that_is_gone_already_is_no_error(words):
    buffered = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    with subprocess.Popen(
        [sys.executable, "-m", "fg_cli", *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=buffered,
        text=True,
    ) as process:
        assert process.stdout is not None and process.stderr is not None
        process.stdout.close()
        assert (process.wait(60), process.stderr.read()) == (141, "")


def test_interactive_needs_a_directory_and_a_config_that_exist(forgather, project):
    done = forgather("-i", "-p", "nowhere")
    assert done.returncode == 2 and "cannot go to nowhere" in done.stderr
    done = forgather("-i", "-p", project, "-t", "othr.yaml")
    assert done.returncode == 2 and "did you mean 'other.yaml'?" in done.stderr


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["-p", "ls", "pp"], (["-p", "ls"], "pp", [])),
        (["--no-dyn", "-t", "a.yaml", "train", "--lr", "1"], (["--no-dyn", "-t", "a.yaml"], "train", ["--lr", "1"])),
        (["--project-dir=x", "ls", "-r"], (["--project-dir=x"], "ls", ["-r"])),
        (["--help"], (["--help"], None, [])),
    ],
)
def test_words_split_at_the_verb(words, expected):
    assert split(words) == expected


def test_global_options_work_on_both_sides_of_the_verb(forgather, project):
    before = forgather("-p", project, "-t", "other.yaml", "pp", "--seed", "7")
    after = forgather("pp", "--seed", "7", "-p", project, "-t", "other.yaml")
    assert before.returncode == 0, before.stderr
    assert before.stdout == after.stdout
    assert "first: 7" in before.stdout and 'config_name: "Other"' in before.stdout


@pytest.mark.parametrize("option", ["-p", "--project-dir=."])
def test_a_project_before_a_verb_that_works_on_none_is_refused_clearly(forgather, option):
    words = [option, "."] if option == "-p" else [option]
    done = forgather(*words, "shell-init", "bash")
    assert (done.returncode, done.stdout) == (2, "")
    assert f"{option.partition('=')[0]} before the verb means nothing to 'shell-init'" in done.stderr
    done = forgather("shell-init", "bash")
    assert done.returncode == 0


def test_the_help_of_a_verb_shows_the_flags_of_the_config(forgather, project):
    done = forgather("-p", project, "construct", "--help")
    assert done.returncode == 0
    assert "--seed" in done.stdout and "where the numbers start" in done.stdout
    assert "usage: forgather construct" in done.stdout


def test_a_missing_distribution_is_named(tmp_path):
    paths = [str(Path(module.__file__).parents[1]) for module in (command_line, importlib.import_module("fg_cli"))]
    code = f"import sys; sys.path[:0] = {paths!r}; from fg_cli.main import main; sys.exit(main(['train']))"
    done = subprocess.run([sys.executable, "-S", "-c", code], capture_output=True, text=True, cwd=tmp_path, timeout=60)
    assert done.returncode == 2
    assert "'train' is a verb of fg-trainers, which is not installed" in done.stderr
    assert "pip install fg-trainers" in done.stderr


@pytest.mark.parametrize("module", sorted({verb.module for verb in VERBS.values()}))
def test_the_table_says_what_the_distribution_says(module):
    if importlib.util.find_spec(module.partition(".")[0]) is None:
        pytest.skip(f"{module} is not installed here")
    declared = importlib.import_module(module).VERBS
    assert {verb.name: verb.help for verb in VERBS.values() if verb.module == module} == dict(declared)


def test_the_table_covers_every_installed_distribution():
    for distribution in ("fg_config", "fg_trainers", "fg_checkpoint", "fg_inference", "fg_models", "fg_tls"):
        if importlib.util.find_spec(distribution) and importlib.util.find_spec(f"{distribution}.commands"):
            declared = importlib.import_module(f"{distribution}.commands").VERBS
            assert set(declared) <= set(VERBS), f"{distribution} has verbs the command does not know"
