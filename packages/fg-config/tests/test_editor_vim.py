"""The Vim syntax, asked of a real Vim: every character of the fixture has the highlight group of the table."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from fg_config.editors.files import vim_files
from fg_config.editors.tokenizer import tokenize
from fg_config.editors.tokens import GROUPS, TOKENS, Match
from fg_config.editors.vim import pattern

DATA = Path(__file__).with_name("data")
needs_vim = pytest.mark.skipif(shutil.which("vim") is None, reason="vim is not installed")


@pytest.fixture
def runtime(tmp_path: Path) -> Path:
    folder = tmp_path / "runtime"
    for name, text in vim_files().items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    return folder


def run_vim(runtime: Path, *arguments: str, **environment: str) -> None:
    base = ["vim", "-N", "-u", "NONE", "-i", "NONE", "-n", "-es", "--cmd", f"set runtimepath^={runtime}"]
    subprocess.run([*base, *arguments], env={**os.environ, **environment}, timeout=60, check=True)


def wanted_groups(text: str) -> list[list[str]]:
    """The group of every character by the table, `-` where there is no token."""
    result = []
    for line, tokens in zip(text.split("\n"), tokenize(text), strict=True):
        groups = ["-"] * len(line)
        for token in tokens:
            groups[token.start : token.end] = [TOKENS[token.name].vim] * (token.end - token.start)
        result.append(groups)
    return result


@needs_vim
def test_vim_shows_the_tokens_of_the_table(runtime: Path, tmp_path: Path) -> None:
    fixture, written = DATA / "editor.yaml", tmp_path / "groups.txt"
    source = f"source {runtime}/syntax/forgather.vim"
    run_vim(runtime, "-c", source, "-S", str(DATA / "editor.vim"), str(fixture), GROUPS_FILE=str(written))
    text = fixture.read_text()
    shown = [line.split() for line in written.read_text().split("\n")]
    for number, (line, wanted, seen) in enumerate(zip(text.split("\n"), wanted_groups(text), shown, strict=False), 1):
        # Blanks have no visible style; Vim counts those before an operator to it.
        assert [pair for pair in zip(line, seen, strict=True) if not pair[0].isspace()] == [
            pair for pair in zip(line, wanted, strict=True) if not pair[0].isspace()
        ], f"line {number}: {line}"
    assert len(shown) >= len(text.splitlines())


@needs_vim
@pytest.mark.parametrize(
    ("file", "language"),
    [
        ("work/project/templates/configs/a.yaml", "forgather"),
        ("work/project/meta.yaml", "forgather"),
        ("work/forgather_workspace/base.yaml", "forgather"),
        ("elsewhere/templates/a.yaml", "yaml"),
        ("work/project/data.yaml", "yaml"),
    ],
)
def test_only_templates_of_a_workspace_are_forgather(runtime: Path, tmp_path: Path, file: str, language: str) -> None:
    (tmp_path / "work" / "forgather_workspace").mkdir(parents=True)
    place, written = tmp_path / file, tmp_path / "type.txt"
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_text("a: 1\n")
    say = "call writefile([&filetype, &commentstring], $TYPE_FILE)"
    run_vim(runtime, "--cmd", "filetype plugin on", str(place), "-c", say, "-c", "qall!", TYPE_FILE=str(written))
    name, comment = written.read_text().splitlines()
    assert name == language
    assert comment.startswith("## %s" if language == "forgather" else "#")


def test_patterns_in_vim_form() -> None:
    assert pattern(r"(?<!\S)#{2,}(?!.*\s#)") == r"%(\S)@<!\#{2,}%(.*\s\#)@!"
    assert pattern(r"[\w./]+?\b(?:a|b)*") == r"[0-9A-Za-z_.\/]{-1,}%(<|>)%(a|b)*"
    assert pattern(r"\{\{[-+]?") == r"\{\{[-+]?"


@pytest.mark.parametrize("foreign", [r"\A", r"(?P=x", r"\h"])
def test_patterns_beyond_the_shared_subset_are_refused(foreign: str) -> None:
    with pytest.raises(ValueError, match=r"subset|not closed"):
        pattern(foreign)


def test_no_rule_matches_nothing() -> None:
    """A rule that matches the empty text would stop the tokenizer, and Vim, at one place for ever."""
    import re

    for rules in GROUPS.values():
        for rule in rules:
            if not isinstance(rule, str):
                parts = rule.parts if isinstance(rule, Match) else rule.begin
                assert re.fullmatch("".join(f"(?:{each})" for each, _ in parts), "") is None
