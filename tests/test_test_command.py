"""The test command: what it selects, and that an isolated suite cannot see what it does not declare."""

from __future__ import annotations

import subprocess

import pytest

from tools.environment import missing_from_environment
from tools.isolation import isolated_python
from tools.test import Runner, Suite, all_suites, select, split_arguments
from tools.workspace import load_workspace

LOW = ([], "value = 1\n")
HIGH = (["ab-low>=0.1,<0.2"], "")


def run_suite(workspace, tmp_path, name, test, arguments=()):
    distribution = workspace.named(name)
    tests = distribution.folder / "tests"
    tests.mkdir(exist_ok=True)
    (tests / "test_it.py").write_text(test)
    (workspace.root / "pytest.ini").write_text("[pytest]\naddopts = --import-mode=importlib\n")
    (tmp_path / "scratch").mkdir()
    suite = Suite(name=name, paths=(tests,), distribution=distribution)
    return Runner(workspace, tmp_path / "scratch", arguments).run(suite, quiet=True)


def test_declared_sibling_is_visible_to_an_isolated_suite(repository, tmp_path):
    test = "import ab_low, ab_high\n\ndef test_it():\n    assert ab_low.value == 1\n"
    result = run_suite(repository(ab_low=LOW, ab_high=HIGH), tmp_path, "ab-high", test)
    assert result.exit_code == 0
    assert result.counts == {"tests": 1, "failures": 0, "errors": 0, "skipped": 0}


def test_undeclared_sibling_is_not(repository, tmp_path):
    result = run_suite(repository(ab_low=LOW, ab_high=HIGH), tmp_path, "ab-low", "import ab_high\n")
    assert result.exit_code == 2
    assert "No module named 'ab_high'" in result.log.read_text()


def test_installed_distributions_of_ours_are_hidden(repository, tmp_path):
    test = "import importlib.util\n\ndef test_it():\n    assert importlib.util.find_spec('fg_config') is None\n"
    assert run_suite(repository(ab_low=LOW), tmp_path, "ab-low", test).exit_code == 0


def test_failing_suite_fails_and_a_filter_that_leaves_nothing_does_not(repository, tmp_path):
    workspace = repository(ab_low=LOW, ab_high=HIGH)
    (tmp_path / "first").mkdir()
    failed = run_suite(workspace, tmp_path / "first", "ab-low", "def test_it():\n    assert False\n")
    assert (failed.exit_code, failed.counts["failures"]) == (1, 1)
    filtered = run_suite(workspace, tmp_path, "ab-high", "def test_it(): pass\n", ("-k", "other"))
    assert (filtered.exit_code, filtered.counts["tests"]) == (0, 0)


def test_suite_without_tests_fails(repository, tmp_path):
    assert run_suite(repository(ab_low=LOW), tmp_path, "ab-low", "").exit_code == 5


def test_isolated_interpreter_shares_third_party_packages(repository, tmp_path):
    workspace = repository(ab_low=LOW)
    python = isolated_python(tmp_path / "environment", visible=workspace.distributions, workspace_names=["ab-low"])
    program = "import numpy, importlib.metadata as m; print(m.version('numpy') == numpy.__version__)"
    done = subprocess.run([python, "-c", program], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout == "True\n"


def test_leading_words_select_and_options_go_to_pytest():
    assert split_arguments(["fg-tls", "-k", "fg-config", "-x"]) == (["fg-tls"], ["-k", "fg-config", "-x"])


def test_names_folders_and_paths_select_suites():
    workspace = load_workspace()
    suites = all_suites(workspace)

    def selected(*words):
        return [(suite.name, *suite.paths) for suite in select(suites, words, workspace.root)]

    kernels = workspace.root / "packages" / "fg-kernels"
    assert selected("fg-kernels") == [("fg-kernels", kernels / "tests")]
    assert selected("packages/fg-kernels/") == [("fg-kernels", kernels / "tests")]
    assert selected("tests/test_layers.py::test_x") == [
        ("repository", workspace.root / "tests" / "test_layers.py::test_x")
    ]
    assert {name for name, *_ in selected()} == {"repository", *workspace.names}


def test_word_that_selects_nothing_is_refused():
    workspace = load_workspace()
    with pytest.raises(SystemExit, match=r"'fg-kernel' is neither a suite nor a test path\. Suites: .*\brepository\b"):
        select(all_suites(workspace), ["fg-kernel"], workspace.root)


def test_incomplete_environment_is_named(repository):
    workspace = repository(ab_low=(["numpy>=2", "no-such-distribution>=1", "numpy>999"], ""))
    assert missing_from_environment(workspace) == [
        "ab-low is not installed",
        "ab-low needs no-such-distribution>=1, which is not installed",
        "ab-low needs numpy>999, which is not installed",
    ]


def test_environment_of_this_run_is_whole():
    assert missing_from_environment(load_workspace()) == []
