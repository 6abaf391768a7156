"""Compiled templates on disk: found by the next process, never trusted blindly, never needed."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from fg_config.rendering import code_cache
from fg_config.rendering.compiling import compile_template
from fg_config.rendering.source import TemplateSource

WRITE = """\
import sys
from fg_config import ConfigEnvironment
environment = ConfigEnvironment([sys.argv[1]])
loaded = environment.load(sys.argv[2], v=3)
print(loaded.graph.to_json(), *(loaded.graph.span(name) for name in loaded.graph.targets))
"""
BASE = "a: 1\n[body]\nb: {{ v }}\n\n"
CHILD = """\
-- extends 'base.yaml'
[body]
    == super()
c: '\U000f0001'

-- include 'part'

#--- part ---
d: {{ 0 }}
"""


@pytest.fixture
def cache(tmp_path, monkeypatch) -> Iterator[Path]:
    monkeypatch.setenv("FORGATHER_CACHE_DIR", str(tmp_path / "cache"))
    code_cache._sweep.cache_clear()
    yield tmp_path / "cache" / "templates"
    code_cache._sweep.cache_clear()


def fresh(text: str) -> TemplateSource:
    """A source that this process has not compiled yet."""
    return TemplateSource(name=f"t{next(_numbers)}", text=text, file="t.yaml")


_numbers = iter(range(10**6))


@pytest.fixture
def run(tmp_path):
    (tmp_path / "base.yaml").write_text(BASE)
    (tmp_path / "c.yaml").write_text(CHILD)

    def run(name: str = "c.yaml", **environment: str) -> str:
        command = [sys.executable, "-c", WRITE, str(tmp_path), name]
        variables = {**os.environ, **environment}
        return subprocess.run(command, env=variables, capture_output=True, text=True, check=True, timeout=60).stdout

    return run


def test_another_process_gets_the_same_from_the_cache(cache, run):
    compiled = run()
    before = {path: path.stat().st_mtime_ns for path in cache.iterdir()}
    assert len(before) == 3
    assert run() == compiled
    assert {path: path.stat().st_mtime_ns for path in cache.iterdir()} == before, "nothing was compiled again"
    assert run(FORGATHER_CACHE_DIR="") == compiled
    assert "base.yaml:3" in compiled and "c.yaml:4:4" in compiled


def test_numbers_of_another_process_do_not_matter(cache, run, tmp_path):
    run("base.yaml")  # is number 0 there, and another one in the next process
    assert run() == run(FORGATHER_CACHE_DIR=str(tmp_path / "other"))


def test_it_is_private(cache, run):
    run()
    assert cache.stat().st_mode & 0o777 == 0o700
    assert {path.stat().st_mode & 0o777 for path in cache.iterdir()} == {0o600}


@pytest.mark.parametrize(
    "damage", [lambda data: b"", lambda data: data[:-3], lambda data: data[:40] + b"x" + data[41:]]
)
def test_a_damaged_entry_is_ignored_and_written_anew(cache, run, damage):
    expected = run()
    whole = {path: path.read_bytes() for path in cache.iterdir()}
    for path, data in whole.items():
        path.write_bytes(damage(data))
    assert run() == expected
    assert {path: path.read_bytes() for path in cache.iterdir()} == whole


def test_an_entry_under_another_name_is_ignored(cache):
    code_cache.store("aa", (1, 2))
    (cache / "aa.code").rename(cache / "bb.code")
    assert code_cache.load("bb") is None
    code_cache.store("bb", (3,))
    assert code_cache.load("bb") == (3,)


def test_a_directory_that_others_can_write_is_not_trusted(cache):
    code_cache.store("aa", "mine")
    cache.chmod(0o777)
    assert code_cache.load("aa") is None
    code_cache.store("bb", "mine")
    assert [path.name for path in cache.iterdir()] == ["aa.code"], "and not written to"


def test_the_text_the_version_and_the_line_make_the_name(monkeypatch):
    names = {code_cache.key_of(("marks",), text, line) for text in ("a", "b") for line in (1, 2)}
    monkeypatch.setattr(sys, "version", "3.99")
    code_cache._version.cache_clear()
    names.add(code_cache.key_of(("marks",), "a", 1))
    code_cache._version.cache_clear()
    names.add(code_cache.key_of(("marks", "facts"), "a", 1))
    assert len(names) == 6


def test_an_empty_variable_turns_it_off(cache, monkeypatch):
    monkeypatch.setenv("FORGATHER_CACHE_DIR", "")
    code_cache.store("aa", 1)
    assert code_cache.load("aa") is None and not cache.exists()


def test_a_place_that_cannot_be_written_is_no_error(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("FORGATHER_CACHE_DIR", str(tmp_path / "file"))
    template = compile_template(fresh("a: {{ v }}"))
    assert template.facts.expressions[0].line == 1


def test_a_cache_that_grew_large_loses_its_older_half(cache, monkeypatch):
    monkeypatch.setattr(code_cache, "_LIMIT", 10)
    for number in range(12):
        code_cache.store(f"{number:02}", number)
        os.utime(cache / f"{number:02}.code", (number, number))
    code_cache._sweep.cache_clear()  # as in the next process
    code_cache.store("new", "new")
    assert sorted(path.stem for path in cache.iterdir()) == ["06", "07", "08", "09", "10", "11", "new"]


def test_facts_come_back_as_they_were(cache):
    text = (
        "-- extends 'b'\nx\n-- set a.b = c | default([1, {'k': (2, 3)}])\n[e]\n    == super() ~ f | default(none)\n\n"
    )
    made = compile_template(fresh(text)).facts
    assert len(list(cache.iterdir())) == 1
    assert compile_template(fresh(text)).facts == made
    assert made.sets[0].defaults[0].value == [1, {"k": (2, 3)}]
    assert made.blocks[0].calls_super
