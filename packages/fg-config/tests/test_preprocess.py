"""The line pass and the block pass, by their exact output."""

import pytest

from fg_config.environment import ConfigEnvironment
from fg_config.rendering.preprocess import preprocess


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("-- set x = 1", "{% set x = 1 %}"),
        ("    -- if c:", "{% if c: %}"),
        ("<< endblock q", "{%- endblock q %}"),
        (">> if c", "{% if c -%}"),
        ("    == super()", "{{ super() }}"),
        ("=> x", "{{ x|trim('\\n')}}"),
        ("--\tset x = 1", "{% set x = 1 %}"),
        ("-- ", "{%  %}"),
        ("--set x", "--set x"),
        ("--", "--"),
        ("---", "---"),
        ("    ## why", "{#  why #}"),
        ("##---- banner ----", "{# ---- banner ---- #}"),
        ("## ends }} #} here", "{#  ends }} # } here #}"),
        ("a: 1   ## why", "a: 1  "),
        ("a: 1 ## one ## two", "a: 1 ## one"),
        ("a: 1## c", "a: 1## c"),
        ("a: 1 # c", "a: 1 # c"),
        ('a: "x ## y"', 'a: "x'),
        ("<<: *a", "<<: *a"),
        ("<< : *a", "{%- : *a %}"),
        ("x: |\n    == y", "x: |\n{{ y }}"),
        ("-- set x = 1  ## why", "{% set x = 1  %}"),
    ],
)
def test_lines(line, expected):
    assert preprocess(line) == expected


@pytest.mark.parametrize("separator", ["\n", "\r\n", "\r"])
def test_every_line_separator_becomes_a_newline(separator):
    assert preprocess(f"a: 1{separator}b: 2{separator}") == "a: 1\nb: 2\n"


def test_blocks_nest_by_indent_and_close_on_the_line_before():
    text = "[callbacks]\na: 1\n    [loggers]\n\njson: !call:x:Json\n[optimizer]\nb: 2\n"
    assert preprocess(text) == (
        "{% block callbacks %}\na: 1\n{% block loggers %}\n\n"
        "json: !call:x:Json{{'\\n'}}{% endblock loggers +%}{{'\\n'}}{% endblock callbacks +%}\n"
        "{% block optimizer %}\nb: 2{{'\\n'}}{% endblock optimizer +%}\n"
    )


def test_a_block_closes_on_an_empty_line_without_another_newline():
    assert preprocess("[a]\nx: 1\n\n[b]\ny: 2") == (
        "{% block a %}\nx: 1\n{% endblock a +%}\n{% block b %}\ny: 2{{'\\n'}}{% endblock b +%}"
    )


def test_a_trimmed_block():
    assert preprocess("[x!]\na: 1\n\n") == ("{% filter trim %}{% block x %}\na: 1\n{% endblock x +%}{% endfilter %}\n")


@pytest.mark.parametrize("text", ["[ a ]", "[a-b]", "[a required]", "[a] # note", "x: [a]"])
def test_what_is_no_header(text):
    assert preprocess(text) == text


def test_a_comment_behind_a_header_is_gone_before_the_header_is_read():
    assert preprocess("[a] ## note\n") == "{% block a %}{{'\\n'}}{% endblock a +%}\n"


@pytest.mark.parametrize(
    ("template", "rendered"),
    [
        ("a: 0\n-- include 'i'\nb: 2", "a: 0\ni: 1b: 2"),
        ("x: 1\n\n<< if true\ny: 2\n-- endif", "x: 1y: 2\n"),
        ("    {% if true %}\nx: 1{% endif %}", "    x: 1"),
        ("    -- if true\nx: 1\n-- endif", "x: 1\n"),
        ('a:\n    == "x: 1"', "a:\nx: 1"),
        ("{{ '-- text' }}", "-- text"),
        ("a: 1\n", "a: 1"),
        ("a: 1\n\n", "a: 1\n"),
        ("[a]\nx: 1\n[b]\ny: 2\n", "x: 1\n\ny: 2\n"),
    ],
)
def test_whitespace_after_rendering(template, rendered):
    environment = ConfigEnvironment()
    environment.add_template("i", "i: 1\n")
    assert environment.preprocess_from_string(template) == rendered


def test_a_closing_tag_that_strips_needs_a_blank_line_behind_it():
    environment = ConfigEnvironment()
    assert environment.preprocess_from_string("{% block q %}\nx: 1\n\n<< endblock q\n\ny: 2") == "x: 1\ny: 2"
    assert environment.preprocess_from_string("{% block q %}\nx: 1\n\n<< endblock q\ny: 2") == "x: 1y: 2"
