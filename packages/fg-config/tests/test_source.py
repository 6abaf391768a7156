"""Splitting files into sub-templates."""

import pytest

from fg_config.rendering.source import read_source, split_source


def names_and_texts(text):
    return [(part.label, part.text, part.first_line) for part in split_source(text, name="f.yaml", file="f.yaml")]


def test_a_marker_begins_another_template_and_consumes_both_newlines():
    text = "a: 1\n#-------- mine.trainer --------\nb: 2\n# --- sub/other ---\nc: 3\n"
    assert names_and_texts(text) == [(None, "a: 1", 1), ("mine.trainer", "b: 2", 3), ("sub/other", "c: 3\n", 5)]


@pytest.mark.parametrize(
    "text",
    [
        "#--- first.line ---\na: 1\n",  # no newline before
        "a: 1\n#--- at.end ---",  # no newline behind
        "a: 1\n#--- trailing.blank --- \nb: 2\n",
        "a: 1\n#--- with-hyphen ---\nb: 2\n",
        "a: 1\n#--- two words ---\nb: 2\n",
        "a: 1\n##--- comment ---\nb: 2\n",
        "a: 1\n#-- short --\nb: 2\n",
    ],
)
def test_what_only_looks_like_a_marker(text):
    assert names_and_texts(text) == [(None, text, 1)]


def test_of_two_adjacent_markers_only_the_first_counts():
    text = "a: 1\n#--- one ---\n#--- two ---\nb: 2\n"
    assert names_and_texts(text) == [(None, "a: 1", 1), ("one", "#--- two ---\nb: 2\n", 3)]


def test_a_marker_may_span_lines():
    assert [label for label, _, _ in names_and_texts("x\n#\n---\nfoo\n---\ny: 1\n")] == [None, "foo"]


def test_files_with_crlf_behave_like_files_with_lf(tmp_path):
    path = tmp_path / "t.yaml"
    path.write_bytes(b"a: 1\r\n#--- sub ---\r\nb: 2\r\n")
    assert [(part.name, part.text) for part in read_source("t.yaml", path)] == [("t.yaml", "a: 1"), ("sub", "b: 2\n")]


def test_line_text_is_found_by_the_line_of_the_file():
    _, part = split_source("a: 1\n#--- sub ---\nb: 2\nc: 3\n", name="f", file="f")
    assert (part.line_text(3), part.line_text(4), part.line_text(1)) == ("b: 2", "c: 3", "")
