"""Law: taking the marks out of a marked render gives what plain Jinja2 renders."""

import jinja2
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from jinja2.sandbox import SandboxedEnvironment

from fg_config import ConfigEnvironment
from fg_config.rendering.marks import marker, trim_marked, unmarked
from fg_config.rendering.names import to_yaml_text
from fg_config.rendering.preprocess import preprocess

LINES = [
    "a: 1",
    "    b: {{ x }}",
    "",
    "    ",
    "-- if x",
    ">> if not x",
    "-- endif",
    "<< endif",
    "== x",
    "=> y",
    "{{- x }} tail",
    "{{ x -}}",
    "{%- set z = x %} é",
    "{% raw %}{{ no }}{% endraw %}",
    "{{ [",
    "   x, y ] | join('-') }}",
    "## comment #}",
    "{# a",
    "b #}",
    "[one]",
    "    [two]",
    "[three!]",
    "{% filter upper %}",
    "{% endfilter %}",
    "{% filter trim %}",
    "== self.one() | trim",
    "{% for i in [1, 2] %}i: {{ i }}",
    "{% endfor %}",
]


def plain(text):
    environment = SandboxedEnvironment(trim_blocks=True, undefined=jinja2.StrictUndefined)
    return environment.from_string(preprocess(text)).render(x="X", y="\n\nY\n")


@settings(max_examples=300, deadline=None)
@given(st.lists(st.sampled_from(LINES), max_size=12).map("\n".join))
def test_marks_leave_no_trace(text):
    try:
        expected = plain(text)
    except (jinja2.TemplateError, RecursionError):
        return
    rendered = ConfigEnvironment().preprocess_from_string(text, x="X", y="\n\nY\n")
    assert rendered == expected
    spans = [rendered.span(offset) for offset in range(len(rendered))]
    assert all(1 <= span.line <= len(text.split("\n")) for span in spans if span.file == "<string>")


PIECES = st.sampled_from([" ", "\n", "a", "b c", marker(0, 1), marker(3, 9)])


@given(st.lists(PIECES).map("".join), st.sampled_from([None, "\n", " ", "a"]))
def test_trimming_marked_text_is_trimming(text, characters):
    assert unmarked(trim_marked(text, characters)) == unmarked(text).strip(characters)


@given(
    st.one_of(st.from_regex(r"[A-Za-z/][A-Za-z0-9_./-]*", fullmatch=True), st.text(), st.sampled_from(["Yes", "NULL"]))
)
def test_toyaml_writes_what_yaml_writes(value):
    text = to_yaml_text(value)
    assert "\n" not in text
    assert text == yaml.safe_dump(value, default_flow_style=True, width=float("inf")).removesuffix("\n").removesuffix(
        "\n..."
    )
