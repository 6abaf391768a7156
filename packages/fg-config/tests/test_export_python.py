"""The Python that `generate_code` writes: its shape, its imports and parameters, and what it refuses."""

from __future__ import annotations

import ast
import collections
import functools
import random
from typing import Any

import pytest

from fg_config.errors import GraphError, TemplateError
from fg_config.exporting.export_python import generate_code
from fg_config.exporting.python_text import quoted
from fg_config.nodes import MISSING, Call, CallKind, Span, Var
from fg_config.parsing.parse import parse_graph

SPAN = Span(file="model.yaml", line=7)


def node(
    spec: str,
    *args: Any,
    kind: CallKind = "call",
    name: str | None = None,
    latent_args: Any = None,
    submodule_searchpath: Any = None,
    **kwargs: Any,
) -> Call:
    return Call(
        kind=kind,
        spec=spec,
        span=SPAN,
        name=name,
        args=args,
        kwargs=kwargs,
        latent_args=latent_args,
        submodule_searchpath=submodule_searchpath,
    )


def var(name: str, default: Any = MISSING) -> Var:
    return Var(name=name, span=SPAN, default=default)


def run(source: str, *args: Any, **kwargs: Any) -> Any:
    namespace: dict[str, Any] = {}
    exec(compile(source, "generated.py", "exec"), namespace)
    return namespace["construct"](*args, **kwargs)


def test_a_model_reads_like_a_model():
    norm = node(".rms_norm:RMSNorm", var("hidden_size"), kind="partial", eps=var("rms_norm_eps", 1e-6))
    attention = node(
        ".attention:CausalMultiheadAttn",
        kind="partial",
        d_model=var("hidden_size"),
        num_heads=var("num_attention_heads"),
        dropout=0.1,
        bias=False,
        position_encoder=node(".rotary:RotaryEmbeddings", var("hidden_size"), name="rotary encoder"),
    )
    layer = node(".pre_ln_layer:PreLNLayer", kind="partial", attention_factory=attention, norm_factory=norm)
    model = node(".causal_lm:CausalLM", kind="factory", layer_factory=layer, layer_norm=norm, act=node("torch.nn.SiLU"))
    expected = """\
import torch
from .attention import CausalMultiheadAttn
from .causal_lm import CausalLM
from .pre_ln_layer import PreLNLayer
from .rms_norm import RMSNorm
from .rotary import RotaryEmbeddings
from functools import partial


def construct(hidden_size, num_attention_heads, rms_norm_eps=1e-06):
    rotary_encoder = RotaryEmbeddings(hidden_size)
    norm_factory = partial(RMSNorm, hidden_size, eps=rms_norm_eps)
    return {
        "causal_model": CausalLM(
            layer_factory=partial(
                PreLNLayer,
                attention_factory=partial(
                    CausalMultiheadAttn,
                    d_model=hidden_size,
                    num_heads=num_attention_heads,
                    dropout=0.1,
                    bias=False,
                    position_encoder=rotary_encoder,
                ),
                norm_factory=norm_factory,
            ),
            layer_norm=norm_factory,
            act=torch.nn.SiLU(),
        ),
    }
"""
    assert generate_code({"causal_model": model}) == expected


def test_dotted_symbols_import_their_first_part():
    source = generate_code(node("collections:abc.Mapping.register", node("collections:OrderedDict.fromkeys", [1])))
    assert "from collections import OrderedDict, abc\n" in source
    assert "abc.Mapping.register(OrderedDict.fromkeys([1]))" in source


def test_a_partial_at_the_root_is_a_callable():
    assert run(generate_code(node("collections:Counter", [1, 1], kind="partial")))() == collections.Counter({1: 2})
    assert run(generate_code(node("collections:Counter", kind="partial"))) is collections.Counter


def test_parameters_without_default_come_first():
    source = generate_code([var("b", 1), var("c"), var("a", "x"), var("d")])
    assert 'def construct(c, d, a="x", b=1):' in source
    assert run(source, 5, d=6) == [1, 5, "x", 6]


def test_one_variable_with_two_defaults_keeps_both():
    source = generate_code([var("size", 1), var("size", "big"), [var("size", None)]])
    assert run(source) == [1, "big", [None]]
    assert run(source, size=3) == [3, 3, [3]]


def test_defaults_that_must_be_built_are_built():
    made = node("collections:Counter", ["a"])
    source = generate_code({"x": var("x", made), "y": made, "z": var("x", made), "new": var("n", [])})
    built = run(source)
    assert built == {"x": {"a": 1}, "y": {"a": 1}, "z": {"a": 1}, "new": []}
    assert built["x"] is built["y"] is built["z"]
    assert run(source, x=0)["x"] == 0
    assert run(source)["new"] is not run(source)["new"]


def test_symbols_with_the_same_name_do_not_collide():
    source = generate_code(
        [node("random:Random", 1), node("_random:Random", 1), node("random:Random", 1), var("Random", 0)]
    )
    built = run(source)
    assert [type(each).__module__ for each in built[:3]] == ["random", "_random", "random"]
    assert built[3] == 0


def test_a_parameter_called_like_a_builtin_does_not_hide_it():
    source = generate_code([node("dict", a=1), var("dict", 2), var("partial", 3), node("str", 4, kind="partial")])
    built = run(source)
    assert built[:3] == [{"a": 1}, 2, 3]
    assert built[3]() == "4"


def test_names_that_are_no_identifiers():
    source = generate_code({"k": node("dict", **{"class": var("class"), "my-key": var("my-var", 2), "ok": 3, "ﬁ": 4})})
    assert "def construct(class_, my_var=2):" in source
    assert run(source, 1) == {"k": {"class": 1, "my-key": 2, "ok": 3, "ﬁ": 4}}


def test_infinite_and_missing_numbers():
    assert repr(run(generate_code([float("inf"), -float("inf"), float("nan"), var("x", float("inf"))]))) == (
        "[inf, -inf, nan, inf]"
    )


def test_latent_arguments_override_keywords():
    known = node("dict", a=1, b=2, latent_args={"b": 3, "c": 4})
    assert run(generate_code(known)) == {"a": 1, "b": 3, "c": 4}
    late = node("dict", a=1, b=2, latent_args=var("late", {"b": 3}))
    assert run(generate_code(late)) == {"a": 1, "b": 3}
    assert run(generate_code(late), late={"a": 0}) == {"a": 0, "b": 2}
    deferred = node("dict", b=2, kind="partial", latent_args=var("late", {}))
    assert run(generate_code(deferred), late={"b": 9})(z=1) == {"b": 9, "z": 1}


def test_helpers_become_the_syntax_of_python():
    table = node("dict", a=1)
    spec = {
        "attribute": node("getattr", 5, "real"),
        "dynamic": node("getattr", 5, var("which", "imag")),
        "item": node("getitem", table, "a"),
        "called": node("call", node("dict", kind="partial", b=2), c=3),
        "items": node("list", node("items", table)),
        "keys": node("list", node("keys", table)),
        "values": node("list", node("values", table)),
        "pair": node("named_tuple", (1, table)),
    }
    source = generate_code(spec)
    for text in ("(5).real", "getattr(5, which)", '["a"]', ".items()", ".keys()", ".values()"):
        assert text in source, text
    assert run(source) == {
        "attribute": 5,
        "dynamic": 0,
        "item": 1,
        "called": {"b": 2, "c": 3},
        "items": [("a", 1)],
        "keys": ["a"],
        "values": [1],
        "pair": (1, {"a": 1}),
    }


def test_helpers_work_as_callables_too():
    spec = [node(each, {"a": 1}, kind="partial") for each in ("items", "keys", "values")]
    assert [list(each()) for each in run(generate_code(spec))] == [[("a", 1)], ["a"], [1]]
    getitem, called, plain = run(
        generate_code(
            [node("getitem", {"a": 1}, kind="partial"), node("call", kind="partial"), node("items", kind="partial")]
        )
    )
    assert (getitem("a"), called(int, "4"), list(plain({"k": 0}))) == (1, 4, [("k", 0)])


def test_factories_and_singletons_keep_their_sharing():
    rng = node("random:Random", 1)
    one = node("collections:UserList", [rng], kind="factory")
    first, second, third = run(generate_code([one, one, rng]))
    assert first is not second
    assert first[0] is second[0] is third
    assert first.data is not second.data


def test_a_partial_that_holds_a_factory_builds_it_at_every_call():
    fresh = node("random:Random", kind="factory")
    shared = node("collections:Counter")
    make = run(generate_code(node("dict", kind="partial", fresh=fresh, shared=shared, plain=0)))
    assert not isinstance(make, functools.partial)
    assert make()["fresh"] is not make()["fresh"]
    assert make()["shared"] is make()["shared"]
    assert make(plain=1, more=2)["plain"] == 1
    assert isinstance(make()["fresh"], random.Random)


@pytest.mark.parametrize(
    ("text", "source"),
    [
        ("plain", '"plain"'),
        (r"norm\.weight$", r'r"norm\.weight$"'),
        ("ends with \\", r'"ends with \\"'),
        ('a "\\"', r"""'a "\\"'"""),
        ("a\\\tb", r'"a\\\tb"'),
    ],
)
def test_backslashes_are_written_raw_where_that_is_the_same_text(text, source):
    assert quoted(text) == source
    assert ast.literal_eval(source) == text


def test_text_of_several_lines_is_written_line_by_line():
    source = generate_code({"template": "one\n  two {x}\n'three'\n" + "long " * 20})
    assert '"one\\n"\n' in source
    assert run(source)["template"].splitlines()[:3] == ["one", "  two {x}", "'three'"]


@pytest.mark.parametrize("policy", ["required", "named", "all"])
def test_the_policy_says_what_becomes_an_assignment(policy):
    shared = node("dict", a=1)
    spec = {"x": node("list", shared, name="mine"), "y": shared, "z": node("str", 3)}
    source = generate_code(spec, name_policy=policy)
    assert source.count(" = ") == {"required": 1, "named": 2, "all": 3}[policy]
    assert run(source) == {"x": ["a"], "y": {"a": 1}, "z": "3"}


def test_meta_nodes_are_run_and_their_result_written():
    passed_on = node("builtins:tuple", [node("dict", a=1), 2], kind="meta")
    assert run(generate_code({"made": passed_on, "again": passed_on})) == {
        "made": ({"a": 1}, 2),
        "again": ({"a": 1}, 2),
    }


def test_files_are_imported_by_path(tmp_path):
    (tmp_path / "near.py").write_text("VALUE = 3\n")
    (tmp_path / "parts.py").write_text("from .near import VALUE\n\nclass Part:\n    value = VALUE\n")
    spec = f"{tmp_path}/parts.py:Part"
    part = run(generate_code(node(spec, kind="partial", submodule_searchpath=[str(tmp_path)])))
    assert part.value == 3


def test_a_template_gets_every_piece():
    template = (
        "{{ title }}|{{ imports }}|{{ module_imports }}|"
        "{% for path, symbol, places in dynamic_imports %}{{ path }} {{ symbol }} {{ places | list }}{% endfor %}|"
        "{% for name, given, default in variables %}{{ name }} {{ given }} {{ repr(default) }},{% endfor %}|"
        "{{ definitions }}|{{ main_body }}|{{ parameters(true) }}"
    )
    spec = [
        node("a.b:C", var("x")),
        node(".near:D", var("y", "t"), name="d"),
        node("p.py:E.f", submodule_searchpath="q"),
        node("torch.nn.ReLU"),
    ]
    assert generate_code(spec, template_str=template, title="T") == (
        "T|[('.near', 'D'), ('a.b', 'C')]|['torch']|p.py E ['q']|x False None,y True \"t\",|d = D(y)|"
        '[C(x), d, E.f(), torch.nn.ReLU()]|x, y="t", **kwargs'
    )


def test_templates_are_found_by_name(tmp_path):
    (tmp_path / "mine.jinja").write_text("value = {{ main_body }}\n")
    assert generate_code([1], template_name="mine.jinja", searchpath=[str(tmp_path)]) == "value = [1]\n"
    with pytest.raises(TemplateError, match=r"other\.jinja"):
        generate_code([1], template_name="other.jinja", searchpath=str(tmp_path))
    with pytest.raises(TemplateError, match="typo"):
        generate_code([1], template_str="{{ typo }}")
    with pytest.raises(TemplateError, match=r"template_str:1"):
        generate_code([1], template_str="{% if %}")


def test_the_built_in_template_has_a_name_and_may_ignore_keywords():
    source = generate_code([var("x")], factory_name="make", relaxed_kwargs=True)
    namespace: dict[str, Any] = {}
    exec(source, namespace)
    assert namespace["make"](x=1, y=2) == [1]


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ({1, 2}, "type set"),
        (node("a:b:c"), "'a:b:c'"),
        (node("a b:c"), "'a b:c'"),
        (node("x:class"), "'x:class'"),
        (node("a.py:X", submodule_searchpath=var("p")), "submodule_searchpath"),
        (functools.reduce(lambda inner, _: [inner], range(2000), None), "nest too deeply"),
    ],
)
def test_what_has_no_source_form_is_an_error(value, message):
    with pytest.raises(GraphError, match=message):
        generate_code([value])


@pytest.mark.parametrize("target", ["*a39", "!call:m:S { a: *a39 }", "!partial:m:S { a: *a39 }"])
def test_aliases_that_double_are_an_error_instead_of_an_endless_text(target):
    doubled = [f"a{level}: &a{level} {{ x: *a{level - 1}, y: *a{level - 1} }}" for level in range(1, 40)]
    text = "\n".join(["a0: &a0 { x: !factory:m:S [] }", *doubled, f"main: {target}"])
    with pytest.raises(GraphError, match="more than 200,000 items"):
        generate_code(parse_graph(text).target("main"))


def test_shared_tagged_containers_that_double_are_written_once():
    doubled = [f"a{level}: &a{level} !dict {{ x: *a{level - 1}, y: *a{level - 1} }}" for level in range(1, 40)]
    source = generate_code(parse_graph("\n".join(["a0: &a0 !dict { x: 1 }", *doubled])).target("a39"))
    assert source.count("=") == 39
