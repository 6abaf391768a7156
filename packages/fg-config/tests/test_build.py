"""Building: what is shared, what is new, when arguments are built, and how errors are reported."""

import pytest

from fg_config import (
    Call,
    Graph,
    GraphError,
    ImportPolicy,
    Latent,
    PolicyError,
    Span,
    UnknownTargetError,
    YamlError,
    build,
    build_value,
)
from fg_config.building.file_modules import load_file
from fg_config.building.latent import config_view
from fg_config.parsing.parse import parse_graph


@pytest.fixture
def module(tmp_path):
    path = tmp_path / "parts.py"
    path.write_text(
        "calls = []\n"
        "class Thing:\n"
        "    def __init__(self, /, *args, **kwargs):\n"
        "        self.args, self.kwargs = args, kwargs\n"
        "def nothing():\n"
        "    calls.append('nothing')\n"
        "def log(name, *args, **kwargs):\n"
        "    calls.append(name)\n"
        "    return name\n"
        "def fail(kind):\n"
        "    raise {'key': KeyError(5), 'stop': StopIteration(), 'value': ValueError('no')}[kind]\n"
        "def raw(*args, **kwargs):\n"
        "    return args, kwargs\n"
        "number = 5\n"
        "def refuse(message, **kwargs):\n"
        "    raise ValueError(message)\n"
        "def missing(depth):\n"
        "    raise NameError('there is none', name='depth')\n"
        "def picky(a=1, **others):\n"
        "    raise TypeError(f'no use for {sorted(others)}')\n"
        "def endless():\n"
        "    return endless()\n"
    )
    return path


@pytest.fixture
def make(module):
    def make(text, *targets, **context):
        graph = parse_graph(text.replace("M:", f"{module}:"), directory=module.parent)
        return build(graph, targets or graph.targets, context=context)

    return make


def test_calls_are_shared_and_factories_are_not(make):
    built = make("a: &a !call:M:Thing []\nb: [*a, *a]\nf: &f !factory:M:Thing []\ng: [*f, *f]\n")
    assert built["b"][0] is built["a"] is built["b"][1]
    assert len({id(thing) for thing in (built["f"], *built["g"])}) == 3


def test_every_build_is_new_unless_a_cache_is_shared(module):
    graph = parse_graph(f"a: !call:{module}:Thing []\n", directory=module.parent)
    assert build(graph, ["a"])["a"] is not build(graph, ["a"])["a"]
    cache = {}
    assert build(graph, ["a"], cache=cache)["a"] is build(graph, ["a"], cache=cache)["a"]


def test_a_result_of_none_is_called_once(make, module):
    before = list(load_file(module).calls)
    make("a: &a !call:M:nothing []\nb: [*a, *a]\n")
    assert load_file(module).calls[len(before) :] == ["nothing"]


def test_plain_containers_are_copied_and_tagged_ones_shared(make):
    built = make("a: &a [1]\nb: *a\nc: &c !list [1]\nd: *c\ne: &e !dict {x: 1}\nf: *e\ng: !tuple [1, [2]]\n")
    assert built["a"] == built["b"] == [1]
    assert built["a"] is not built["b"]
    assert built["c"] is built["d"]
    assert built["e"] is built["f"]
    assert built["g"] == (1, [2])


def test_arguments_are_built_in_order(make, module):
    start = len(load_file(module).calls)
    make(
        "a: !call:M:log\n    arg0: outer\n    z: !call:M:log [second]\n    arg1: !call:M:log [first]\n"
        "    latent_args: !call:dict {l: !call:M:log [third]}\n"
    )
    assert load_file(module).calls[start:] == ["first", "second", "third", "outer"]


def test_targets_come_in_the_order_of_the_config(make):
    assert list(make("a: 1\nb: 2\nc: 3\n", "c", "a")) == ["a", "c"]


def test_unknown_targets(make):
    with pytest.raises(UnknownTargetError, match="did you mean 'trainer'"):
        make("trainer: 1\n", "trainr")


# --- variables ----------------------------------------------------------------------------------------------------


def test_variables_take_the_context_then_the_default(make):
    text = "a: !var {name: x, default: !call:dict {y: 1}}\nb: !var {name: z, default: 2}\n"
    assert make(text) == {"a": {"y": 1}, "b": 2}
    given = object()
    assert make(text, x=given, z=None) == {"a": given, "b": None}


def test_an_unbound_variable_names_path_and_line(make):
    with pytest.raises(GraphError) as caught:
        make("a:\n    b: !var tokenizer\n")
    assert (caught.value.span.line, "a.b" in caught.value.message) == (2, True)
    assert "project('a', tokenizer=…)" in caught.value.help


# --- partials, meta, latent arguments -----------------------------------------------------------------------------


def test_a_partial_binds_late(make):
    made = make("p: &p !partial:M:Thing [1, !factory:M:Thing [], {k: 2}]\nq: *p\nr: !partial:M:Thing {a: 1, b: 2}\n")
    first, second = made["p"](9), made["p"](9)
    assert (first.args[0], first.args[2:]) == (1, ({"k": 2}, 9))
    assert first.args[1] is not second.args[1]
    assert made["p"] is not made["q"]
    given = {"b": 3, "context": 4, "mtargets": 5, "path": 6, "node": 7}
    assert made["r"](**given).kwargs == {"a": 1, **given}


def test_calls_inside_a_partial_are_built_once_and_partials_stay_partials(make):
    partial = make("p: !partial:M:Thing [!call:M:Thing [], !partial:M:Thing [5], !var {name: v, default: 0}]\n", v=7)[
        "p"
    ]
    first, second = partial(), partial()
    assert first.args[0] is second.args[0]
    assert (first.args[1]().args, first.args[2]) == ((5,), 7)


def test_a_partial_given_by_itself():
    graph = parse_graph("p: !partial:dict {a: 1}\n")
    assert build_value(graph.at("p"))(b=2) == {"a": 1, "b": 2}


def test_meta_nodes_get_raw_nodes_and_are_cached(make):
    made = make("m: &m !meta:M:raw\n    arg0: !call:dict []\n    k: {x: !var v}\nn: *m\n")
    args, kwargs = made["m"]
    assert isinstance(args[0], Call)
    assert kwargs["k"]["x"].name == "v"
    assert made["n"] is made["m"]


def test_latent_arguments_override_keywords(make):
    text = "a: !call:dict {x: 1, y: 2, latent_args: !var {name: more, default: {}}}\n"
    assert make(text) == {"a": {"x": 1, "y": 2}}
    assert make(text, more={"y": 3, "z": 4}) == {"a": {"x": 1, "y": 3, "z": 4}}
    with pytest.raises(GraphError, match="latent_args"):
        make(text, more=[1])


# --- nodes as callables -------------------------------------------------------------------------------------------


def test_nodes_inside_of_containers_can_be_called():
    text = "l: [!call:dict {a: 1}, {b: [&x !call:list [[2]], *x], 3: !tuple [4]}]\nt: !var {name: v, default: 1}\n"
    config = config_view(parse_graph(text))
    assert config.l[0]() == {"a": 1}
    assert [each() for each in config.l[1].b] == [[2], [2]]
    assert config.l[1][3]() == (4,)
    built = Latent.materialize(config.l)
    assert built == [{"a": 1}, {"b": [[2], [2]], 3: (4,)}]
    assert built[1]["b"][0] is built[1]["b"][1]
    config.l.append(5)  # what is looked at is a copy
    assert len(config.l) == 2


def test_nodes_inside_of_containers_know_their_directory_and_policy(module):
    graph = parse_graph("l: [!call:parts.py:log [a], !call:os:getcwd []]", directory=module.parent)
    assert config_view(graph).l[0]() == "a"
    assert Latent.materialize(config_view(graph, ImportPolicy.unrestricted()).l)[0] == "a"
    with pytest.raises(PolicyError):
        config_view(graph).l[1]()
    with pytest.raises(PolicyError):
        Latent.materialize(config_view(graph).l)


# --- errors -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("kind", "expected"), [("key", KeyError), ("stop", StopIteration), ("value", ValueError)])
def test_exceptions_keep_their_type_and_say_where(make, kind, expected):
    with pytest.raises(expected) as caught:
        make(f"x: 1\nmain:\n    inner: !call:M:fail [{kind}]\n")
    (note,) = caught.value.__notes__
    assert "'main.inner'" in note
    assert "parts.py:fail" in note
    assert "<text>:3" in note


def test_something_that_cannot_be_called(make):
    with pytest.raises(GraphError, match="cannot be called"):
        make("a: !call:M:number []\n")


def test_the_policy_of_the_caller_holds_inside_partials(tmp_path):
    graph = parse_graph("a: !partial:os:getcwd []\n")
    partial = build(graph, ["a"], policy=ImportPolicy.unrestricted())["a"]
    assert partial()
    with pytest.raises(GraphError, match="import policy"):
        build(graph, ["a"])["a"]()


def test_an_exception_names_the_lines_of_the_keywords_it_speaks_of(make):
    text = (
        "main: !call:M:refuse\n    message: \"hidden_size must be divisible, got 'heads'\"\n"
        "    hidden_size: 7\n    heads: 2\n    got: 3\n"
    )
    with pytest.raises(ValueError, match="divisible") as caught:
        make(text)
    first, *rest = caught.value.__notes__[0].splitlines()
    assert first.endswith("parts.py:refuse (<text>:1:7)")
    assert rest == ["  hidden_size was given at <text>:3:18", "  heads was given at <text>:4:12"]


def test_an_attribute_of_the_exception_names_a_keyword_too(make):
    with pytest.raises(NameError) as caught:
        make("main: !call:M:missing\n    depth: 7\n")
    assert "depth was given at <text>:2" in caught.value.__notes__[0]


def test_an_error_about_a_keyword_of_the_caller_keeps_its_type(make):
    partial = make("p: !partial:M:picky {a: 2}\n")["p"]
    with pytest.raises(TypeError, match="no use for ") as caught:
        partial(extra=1)
    (note,) = caught.value.__notes__
    assert note.startswith("while building 'p': partial ") and note.endswith("parts.py:picky (<text>:1:4)")


def test_a_keyword_that_the_caller_replaced_was_not_given_by_the_config(make):
    text = "p: !partial:M:refuse {message: 'bad heads=9', heads: 1}\n"
    for keywords, lines in (({}, 2), ({"heads": 2}, 1)):
        with pytest.raises(ValueError, match="bad heads") as caught:
            make(text)["p"](**keywords)
        assert len(caught.value.__notes__[0].splitlines()) == lines


def test_an_error_about_a_latent_argument_keeps_its_type(make):
    with pytest.raises(TypeError, match="no use for "):
        make("p: !call:M:picky {a: 2, latent_args: !var {name: more, default: {extra: 1}}}\n")


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("x: !list\n- !call:M:fail\n  kind: key\n", "x.0"),
        ("x: !dict\n  y:\n  - !call:M:fail {kind: key}\n", "x.y.0"),
        ("x.y: !call:M:fail\n  kind: key\n", '"x.y"'),
        ("x: !var\n  name: v\n  default: !call:M:fail {kind: key}\n", "x.default"),
        ("x: !call:M:Thing\n  latent_args: !call:M:fail {kind: key}\n", "x.latent_args"),
    ],
)
def test_the_path_in_a_note_is_one_that_the_graph_knows(make, module, text, path):
    with pytest.raises(KeyError) as caught:
        make(text)
    note = caught.value.__notes__[0]
    assert f"while building {path!r}: " in note
    node = parse_graph(text.replace("M:", f"{module}:")).at(path)
    assert f"({node.span})" in note


# --- size ---------------------------------------------------------------------------------------------------------


def nested(depth):
    value = Call(kind="call", spec="dict", span=Span(file="f", line=1))
    for _ in range(depth):
        value = Call(kind="call", spec="list", span=Span(file="f", line=2), args=([value],))
    return value


def test_whatever_can_be_parsed_can_be_built():
    depth = 1
    while True:
        try:
            graph = parse_graph("a: " + "!call:list [[" * depth + "]]" * depth)
        except YamlError:
            break
        assert build(graph, ["a"])["a"] is not None
        depth += 7
    assert depth > 60


def test_what_nests_more_deeply_is_one_clear_error():
    with pytest.raises(GraphError, match="nests too deeply") as caught:
        build(Graph({"a": nested(2000)}), ["a"])
    assert (caught.value.code, caught.value.span.line) == ("FG0406", 2)


def test_the_recursion_of_a_called_object_stays_what_it_is(make):
    with pytest.raises(RecursionError) as caught:
        make("main: !call:M:endless []\n")
    assert "parts.py:endless" in caught.value.__notes__[0]


def test_aliases_of_plain_containers_do_not_explode():
    lines = ["a0: &a0 [1, 1, 1, 1, 1, 1, 1, 1, 1, 1]"]
    lines += [f"a{level}: &a{level} [{', '.join([f'*a{level - 1}'] * 10)}]" for level in range(1, 9)]
    graph = parse_graph("\n".join(lines))
    assert len(build(graph, ["a3"])["a3"][9][9][9]) == 10
    with pytest.raises(GraphError, match="more than 2,000,000 items") as caught:
        build(graph, ["a8"])
    assert (caught.value.code, caught.value.span.line) == ("FG0413", 1)


# --- names that a call may use ------------------------------------------------------------------------------------


@pytest.mark.parametrize("tag", ["call", "factory", "partial"])
def test_no_keyword_is_taken(make, tag):
    names = ["self", "mtargets", "context_vars", "constructor", "_identity", "path", "node", "name", "args"]
    text = f"main: !{tag}:M:Thing\n    kwargs:\n" + "".join(f"        {name}: 1\n" for name in names)
    built = make(text)["main"]
    thing = built(**dict.fromkeys(names[:4], 2)) if tag == "partial" else built
    given = dict.fromkeys(names, 1) | (dict.fromkeys(names[:4], 2) if tag == "partial" else {})
    assert thing.kwargs == given
