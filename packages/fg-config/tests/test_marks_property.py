"""Law: whole templates render to what plain Jinja2 renders, also where a template looks at its own text."""

from __future__ import annotations

import itertools

import jinja2
from hypothesis import given, settings
from hypothesis import strategies as st
from jinja2.sandbox import SandboxedEnvironment

from fg_config import ConfigEnvironment
from fg_config.rendering.preprocess import preprocess

NAMES = itertools.count()
PARTS = {
    "part": "p: 1\n[inner]\nq: {{ x }}\n\n",
    "heir": "-- extends 'part'\n[inner]\n    == super()\nr: 2\n\n",
    "blank": "\n\n",
    "macros": "-- macro twice(t)\n{{ t }}{{ t }}\n-- include 'part'\n-- endmacro\n",
}
ATOMS = st.sampled_from(
    [
        "a: 1",
        "    b: {{ x }} # c",
        "",
        "   ",
        "== x",
        "=> y",
        "{{- x }} é",
        "{{ x -}}",
        "## why",
        "{# a #}",
        "{% raw %}{{ no }}{% endraw %}",
        "-- include 'part'",
        "-- include 'heir'",
        "-- include 'blank'",
        "-- include 'absent' ignore missing",
        "-- from 'macros' import twice",
        "{% from 'macros' import twice %}{{ twice('t') | length }}",
        "n: {{ self.top() | length }}",
        "{% if self.top() == 'a: 1' %}equal{% endif %}",
        "s: {{ self.top() | trim | upper }}|{{ (self.top() if x else y) | indent(2) }}",
        "{{ self.top() ~ '!' }}",
    ]
)


def wrapped(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    """Statements around text."""
    body = st.lists(inner, max_size=4).map("\n".join)
    forms = [
        "-- if x\n{}\n-- endif",
        "{{%- if not x -%}}{}{{%- endif -%}}",
        "-- for i in [1, 2]\n{}\n-- endfor",
        "{{% filter trim %}}{}{{% endfilter %}}",
        "{{% filter upper %}}{}{{% endfilter %}}",
        "{{% filter indent(4, true) %}}{}{{% endfilter %}}",
        "{{% filter title | trim %}}{}{{% endfilter %}}",
        "{{% filter reverse %}}{}{{% endfilter %}}",
        "{{% set z %}}{}{{% endset %}}{{{{ z }}}}{{{{ z | length }}}}",
        "{{% set z | upper %}}{}{{% endset %}}{{{{ z }}}}",
        "{{% macro m() %}}{}{{% endmacro %}}{{{{ m() }}}}{{{{ m() | length }}}}",
        "{{% macro m() %}}<{{{{ caller() }}}}>{{% endmacro %}}{{% call m() %}}{}{{% endcall %}}",
        "{{% with x = 'w' %}}{}{{% endwith %}}",
        "-- block NAME\n{}\n-- endblock",
    ]
    return st.builds(lambda form, text: form.format(text), st.sampled_from(forms), body)


# Within a macro or a `set` block, Jinja2 makes no text of this one but the name of a generator.
OUTERMOST = st.just("-- include 'part' without context")
TEMPLATES = st.lists(st.recursive(ATOMS, wrapped, max_leaves=12) | OUTERMOST, max_size=5).map("\n".join)


def named(text: str) -> str:
    """Block names are unique in a template."""
    while "NAME" in text:
        text = text.replace("NAME", f"b{next(NAMES)}", 1)
    return f"-- block top\na: 1\n-- endblock\n{text}"


def plain(text: str) -> str:
    loader = jinja2.DictLoader({name: preprocess(part) for name, part in PARTS.items()})
    environment = SandboxedEnvironment(loader=loader, trim_blocks=True, undefined=jinja2.StrictUndefined)
    environment.globals.update(x="X", y="\n\nY\n")
    return environment.from_string(preprocess(text)).render()


@settings(max_examples=400, deadline=None)
@given(TEMPLATES.map(named))
def test_a_template_renders_to_what_jinja_renders(text):
    try:
        expected = plain(text)
    except (jinja2.TemplateError, RecursionError):
        return
    environment = ConfigEnvironment(global_vars={"x": "X", "y": "\n\nY\n"})
    for name, part in PARTS.items():
        environment.add_template(name, part)
    rendered = environment.preprocess_from_string(text)
    assert rendered == expected
    lines = {f"<{name}>": part.count("\n") + 1 for name, part in PARTS.items()} | {"<string>": text.count("\n") + 1}
    spans = [rendered.span(offset) for offset, character in enumerate(rendered) if character.strip()]
    assert all(1 <= span.line <= lines[span.file] for span in spans if span.file != "<rendered text>")
