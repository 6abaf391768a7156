"""Arguments that do not fit a signature are a mistake in the config, found before anything runs."""

from __future__ import annotations

import pytest

from fg_config import ConfigEnvironment
from fg_config.building.builder import build
from fg_config.errors import GraphError


def graph(tmp_path, text):
    (tmp_path / "c.yaml").write_text(text)
    return ConfigEnvironment([tmp_path]).load_config("c.yaml", variables={}, directory=tmp_path).graph


def test_an_unknown_keyword_names_its_own_line_and_the_nearest_parameter(tmp_path):
    text = "main: !call:fractions:Fraction\n    numerator: 1\n    denominatr: 2\n"
    with pytest.raises(GraphError, match="denominatr") as caught:
        build(graph(tmp_path, text), ["main"])
    assert caught.value.code == "FG0501"
    assert caught.value.span.line == 3
    assert "denominator" in caught.value.help


def test_a_missing_argument_shows_the_signature(tmp_path):
    with pytest.raises(GraphError, match="missing a required argument") as caught:
        build(graph(tmp_path, "main: !call:fnmatch:fnmatch [ a ]\n"), ["main"])
    assert "pat" in caught.value.help


def test_a_class_of_a_file_is_shown_by_the_name_it_has_there(tmp_path):
    (tmp_path / "fit.py").write_text("class Points:\n    pass\n\ndef fit(points: Points, rate=1):\n    return points\n")
    with pytest.raises(GraphError, match="missing a required argument") as caught:
        build(graph(tmp_path, "main: !call:fit.py:fit { rate: 2 }\n"), ["main"])
    assert caught.value.help == "it takes (points: Points, rate=1)"


def test_a_type_error_from_inside_keeps_its_type(tmp_path):
    with pytest.raises(TypeError, match="unsupported operand"):
        build(graph(tmp_path, "main: !call:sum [ [ 1, a ] ]\n"), ["main"])


def test_a_decorator_may_take_more_than_what_it_wraps(tmp_path):
    (tmp_path / "old.py").write_text(
        "import functools\n\ndef renamed(function):\n    @functools.wraps(function)\n"
        "    def call(*, size=None, old_size=None):\n        return function(size=size or old_size)\n    return call\n"
        "\n@renamed\ndef make(size):\n    return size\n"
    )
    text = f"main: !call:{tmp_path}/old.py:make {{old_size: 3}}\n"
    assert build(graph(tmp_path, text), ["main"]) == {"main": 3}


def test_a_callable_without_a_signature_is_called_all_the_same(tmp_path):
    assert build(graph(tmp_path, "main: !call:dict { a: 1 }\n"), ["main"]) == {"main": {"a": 1}}
