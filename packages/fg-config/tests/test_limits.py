"""What one render may use up. Every template here would otherwise hang, or fill the memory."""

from __future__ import annotations

import pytest

from fg_config import ConfigEnvironment, TemplateError
from fg_config.rendering.compiling import compile_template
from fg_config.rendering.limits import MAX_STEPS, MAX_TEXT
from fg_config.rendering.source import TemplateSource

GROW = "{{% for i in range(99) %}}{{% set ns.v = {} %}}{{% endfor %}}"
BIG = "-- set s = 'x' * 1000000\n"
MISTAKES = {
    "a power": "a: {{ 10 ** (10 ** 10) }}",
    "digits by multiplication": f"-- set ns = namespace(v=9)\n{GROW.format('ns.v * ns.v')}",
    "a long text": "a: {{ 'x' * 10 ** 9 }}",
    "a long text, the other way round": "a: {{ 10 ** 9 * 'x' }}",
    "a long list": "a: {{ ([0] * 10 ** 9) | length }}",
    "text that doubles": f"-- set ns = namespace(v='x')\n{GROW.format('ns.v ~ ns.v')}",
    "text that doubles by +": f"-- set ns = namespace(v='x')\n{GROW.format('ns.v + ns.v')}",
    "much text in many pieces": f"{BIG}-- set ns = namespace(l=[])\n"
    "{% for i in range(999) %}{% set ns.l = ns.l + [s + 'y'] %}{% endfor %}",
    "nested loops": "{% for i in range(99999) %}{% for j in range(99999) %}{% endfor %}{% endfor %}",
    "a loop that writes": f"{BIG}{{% for i in range(99999) %}}{{{{ s }}}}{{% endfor %}}",
    "macros that call each other": "{% macro f(n) %}{% if n %}{% set a = f(n - 1) %}{% set b = f(n - 1) %}{% endif %}"
    "{% endmacro %}a: {{ f(60) }}",
    "includes that double": "-- include 'fork40'",
    "center": "a: {{ 'x' | center(10 ** 9) }}",
    "indent": "a: {{ ('x\\n' * 1000000) | indent(1000) }}",
    "indent by a text": f"{BIG}a: {{{{ ('x\\n' * 100000) | indent(s) }}}}",
    "wordwrap": f"{BIG}a: {{{{ ('x ' * 100000) | wordwrap(1, wrapstring=s) }}}}",
    "slice": "a: {{ [1] | slice(10 ** 9) | list | length }}",
    "batch": "a: {{ [1] | batch(10 ** 9, 0) | list | length }}",
    "join": f"{BIG}a: {{{{ ([s] * 1000) | join }}}}",
    "join with a separator": f"{BIG}a: {{{{ range(1000) | join(s) }}}}",
    "replace": f"{BIG}a: {{{{ s | replace('x', s) }}}}",
    "tojson": "a: {{ [1, 2] | tojson(10 ** 9) }}",
    "format": "a: {{ '%999999999d' | format(1) }}",
    "format by an argument": "a: {{ '%*d' | format(10 ** 9, 1) }}",
    "%": "a: {{ '%999999999d' % 1 }}",
    "% by an argument": "a: {{ '%*d' % (10 ** 9, 1) }}",
    "str.format": "a: {{ '{:999999999}'.format(1) }}",
    "str.format by an argument": "a: {{ '{:{w}}'.format(1, w=10 ** 9) }}",
    "str.ljust": "a: {{ 'x'.ljust(10 ** 9) }}",
    "str.replace": f"{BIG}a: {{{{ s.replace('', s) }}}}",
    "str.join": f"{BIG}a: {{{{ s.join('abcdefghijklmnopqrstuvwxyz') }}}}",
    "str.expandtabs": "a: {{ ('\\t' * 1000).expandtabs(10 ** 9) }}",
    "int.to_bytes": "a: {{ (1).to_bytes(10 ** 9, 'big') | length }}",
    "lorem ipsum": "a: {{ lipsum(10 ** 9) }}",
    "a range": "a: {{ range(10 ** 9) | length }}",
}


@pytest.fixture
def environment():
    environment = ConfigEnvironment()
    environment.add_template("fork0", "")
    for depth in range(1, 41):
        environment.add_template(f"fork{depth}", f"-- include 'fork{depth - 1}'\n" * 2)
    return environment


@pytest.mark.timeout(20)
@pytest.mark.parametrize("text", MISTAKES.values(), ids=MISTAKES)
def test_what_takes_too_much_is_one_error_at_its_line(environment, text):
    with pytest.raises(TemplateError) as caught:
        environment.preprocess_from_string(f"## a comment\n{text}")
    assert caught.value.code in ("FG0214", "FG0202")  # FG0202: a range is limited by Jinja2 itself
    assert caught.value.span is not None and caught.value.help


@pytest.mark.parametrize(
    ("expression", "text"),
    [
        ("'ab' * 3 ~ '-' ~ 2 ** 10 ~ '-' ~ 7 % 4", "ababab-1024-3"),
        ("[1] * 2 + [3]", "[1, 1, 3]"),
        ("[1, 2] | join(', ')", "1, 2"),
        ("[{'a': 1}, {'a': 2}] | join('-', attribute='a')", "1-2"),
        ("'-'.join(['a', 'b'])", "a-b"),
        ("[] | join('x')", ""),
        ("'%05d of %s' | format(7, 'y')", "00007 of y"),
        ("'run 20240101 %d' % 50000000", "run 20240101 50000000"),
        ("'{:>4}|{n:,}'.format(1, n=123456789)", "   1|123,456,789"),
        ("'a.b' | replace('.', '/')", "a/b"),
        ("'aaa'.replace('a', 'b', 2)", "bba"),
        ("'x' | center(5) | upper", "  X  "),
        ("'a\\nb' | indent(2)", "a\n  b"),
        ("(10 ** 9) | default(3)", "1000000000"),
    ],
)
def test_what_is_ordinary_works(environment, expression, text):
    assert environment.preprocess_from_string(f"{{{{ {expression} }}}}") == text


def test_a_loop_knows_its_length_and_neighbours(environment):
    text = "{{ loop.index }}/{{ loop.length }} {{ loop.last }} {{ loop.nextitem | default('-') }}, "
    loop = f"{{% for i in 'abc' if i != 'b' %}}{text}{{% endfor %}}"
    assert environment.preprocess_from_string(loop) == "1/2 False c, 2/2 True -, "


def test_limits_begin_anew_with_each_render(environment):
    rounds = "{% for i in range(90000) %}{% endfor %}"
    for _ in range(2 * MAX_STEPS // 90000):
        assert environment.preprocess_from_string(rounds) == ""


def test_a_text_may_have_the_size_of_the_limit(environment):
    assert len(environment.preprocess_from_string(f"{{{{ 'x' * {MAX_TEXT - 9} }}}}")) == MAX_TEXT - 9


def test_a_constant_default_is_known_without_rendering():
    facts = compile_template(TemplateSource(name="t", text="{{ a | default(2 * 1024 + 1) }}", file="t")).facts
    assert [(default.constant, default.value) for default in facts.expressions[0].defaults] == [(True, 2049)]
    facts = compile_template(TemplateSource(name="t", text="{{ a | default('x' * 10 ** 9) }}", file="t")).facts
    assert [default.constant for default in facts.expressions[0].defaults] == [False]
