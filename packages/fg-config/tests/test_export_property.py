"""Laws of the exports, on graphs that hypothesis draws: YAML reads back equal, Python evaluates equal."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from types import ModuleType
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fg_config.building.builder import build
from fg_config.building.policy import ImportPolicy
from fg_config.environment import ConfigEnvironment
from fg_config.exporting.export_python import generate_code, render_source, to_source
from fg_config.exporting.export_yaml import NAME_POLICIES, to_yaml
from fg_config.graph import Graph
from fg_config.nodes import MISSING, Call, Span, Var

SPAN = Span(file="graph.yaml", line=1)


def node(spec: str, content: Any, name: str | None) -> Call:
    return Call(kind="call", spec=spec, span=SPAN, name=name, args=(content,))


class Record:
    """What the graphs of the tests build: remembers its arguments; equal when those are."""

    def __init__(self, /, *args: Any, **kwargs: Any) -> None:
        self.args = args
        self.kwargs = kwargs

    def __repr__(self) -> str:
        return f"Record(*{self.args!r}, **{self.kwargs!r})"


def shape(value: Any, seen: list[Record] | None = None) -> Any:
    """`value` as nested tuples in which the second sight of the same `Record` is a reference.

    Callables are compared by what they give: `functools.partial` and `lambda` are two ways to write one thing.
    """
    seen = [] if seen is None else seen
    if isinstance(value, Record):
        for number, known in enumerate(seen):
            if known is value:
                return ("same", number)
        seen.append(value)
        return ("record", shape(value.args, seen), shape(value.kwargs, seen))
    if isinstance(value, dict):
        return ("dict", *((key, shape(item, seen)) for key, item in value.items()))
    if isinstance(value, (list, tuple)):
        return (type(value).__name__, *(shape(item, seen) for item in value))
    if callable(value):
        return ("callable", shape(value(1, extra=2), seen))
    return (type(value).__name__, repr(value))


@pytest.fixture(scope="module", autouse=True)
def records() -> Iterator[None]:
    """Make `Record` importable under the name that the drawn graphs use."""
    module = ModuleType("records")
    module.Record = Record  # pyrefly: ignore[missing-attribute]
    sys.modules["records"] = module
    yield
    del sys.modules["records"]


_TEXT = st.text(st.characters(exclude_categories=("Cs",)), max_size=12)
_LOOKS_LIKE_SOMETHING = (
    "~ null yes 0x1f 1 1e-3 1:30 2020-01-01 .inf << = ## # ... --- *a &a !a %a @a `a [a] ' \" \\d+\\. a#b é 日本 class"
)
_WITH_BLANKS = [
    *("", " a", "a ", "\t", "\n", "a\nb\n", "- a", "-- x", "== x", ">> y", "a: b", "x ## y", "{{ a }}"),
    *("{% b %}", "{# c #}", "\u2028", "\x85", "\ufeff", "\U0001f600", "\x00"),
]
_AWKWARD = st.sampled_from([*_LOOKS_LIKE_SOMETHING.split(), *_WITH_BLANKS])
_STRINGS = _TEXT | _AWKWARD
_SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | _STRINGS
_KEYS = _STRINGS | st.integers() | st.booleans() | st.none()
_NAMES = st.sampled_from(["lr", "class", "my-key", "ﬁ", "arg0", "args", "kwargs", "self", "partial", "x y", "é"])
_SPECS = st.sampled_from(["records:Record", "records:sub.Record", "dict", ".near:Record", "torch.nn.ReLU", "f.py:X"])


@st.composite
def graphs(draw: st.DrawFn, *, specs: st.SearchStrategy[str] = _SPECS, full: bool = True) -> dict[str, Any]:
    """A mapping of targets in which nodes are drawn again and again, so that most graphs share some.

    With `full`, everything that a file can say; without it, what also builds without an import error and compares.
    """
    pool: list[Any] = []
    for number in range(draw(st.integers(1, 7))):
        pool.append(draw(_nodes(list(pool), specs, number, full)))
    keys = draw(st.lists(_STRINGS.filter(lambda key: not key.startswith(".")), min_size=1, max_size=4, unique=True))
    return {key: draw(_values(pool, full)) for key in keys}


def _values(pool: list[Any], full: bool) -> st.SearchStrategy[Any]:
    leaves = _SCALARS | st.sampled_from(pool) if pool else _SCALARS
    keys = _KEYS if full else _STRINGS
    return st.recursive(
        leaves, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys, inner, max_size=3), max_leaves=5
    )


@st.composite
def _nodes(draw: st.DrawFn, pool: list[Any], specs: st.SearchStrategy[str], number: int, full: bool) -> Any:
    values = _values(pool, full)
    shape_of = draw(st.sampled_from(["call", "call", "factory", "partial", "list", "dict", "tuple", "var", "plain"]))
    name = draw(st.none() | st.just(f"name-{number}")) if full else draw(st.none() | st.just(f"name_{number}"))
    match shape_of:
        case "list":
            return node("named_list", draw(st.lists(values, max_size=3)), name=name)
        case "tuple":
            return node("named_tuple", tuple(draw(st.lists(values, max_size=3))), name=name)
        case "dict":
            return node("named_dict", draw(st.dictionaries(_KEYS, values, max_size=3)), name=name)
        case "var":
            return Var(name=draw(_NAMES), span=SPAN, default=draw(st.just(MISSING) | values) if full else draw(values))
        case "plain":
            return draw(st.lists(values, max_size=3) | st.dictionaries(_STRINGS, values, max_size=3))
    kwargs = draw(st.dictionaries(_NAMES, values, max_size=3))
    latent = draw(st.none() | st.dictionaries(_NAMES, values, max_size=2)) if full else None
    search = draw(st.none() | st.just(["/bits", "/out"])) if full else None
    return Call(
        kind=draw(st.sampled_from(["call", "factory", "partial", "meta"])) if full else shape_of,
        spec=draw(specs),
        span=SPAN,
        name=name,
        args=tuple(draw(st.lists(values, max_size=3))),
        kwargs=kwargs,
        latent_args=latent,
        submodule_searchpath=search,
    )


def reload(text: str) -> Graph:
    return ConfigEnvironment().load_from_string(text).graph


@given(root=graphs(), policy=st.sampled_from(NAME_POLICIES))
@settings(max_examples=100, deadline=None)
def test_yaml_reads_back_as_the_same_graph(root, policy):
    text = to_yaml(root, name_policy=policy)
    assert ConfigEnvironment().load_from_ppstring(text).graph.to_json() == Graph(root=root).to_json(), text
    assert reload(text).to_json() == Graph(root=root).to_json(), text


@given(root=graphs(), policy=st.sampled_from(NAME_POLICIES))
@settings(max_examples=50, deadline=None)
def test_python_compiles(root, policy):
    source = render_source(to_source(root, name_policy=policy, run_meta=lambda node: list(node.args)))
    compile(source, "generated", "exec")


@given(root=graphs(specs=st.just("records:Record"), full=False), policy=st.sampled_from(NAME_POLICIES))
@settings(max_examples=100, deadline=None)
def test_python_evaluates_to_what_building_gives(root, policy):
    built = build(Graph(root=root), list(root), policy=ImportPolicy.unrestricted())
    namespace: dict[str, Any] = {}
    source = generate_code(root, name_policy=policy)
    exec(source, namespace)
    assert shape(namespace["construct"]()) == shape(built), source
