"""YAML to graph: scalars, repeated keys, merges, tags, arguments and root rules."""

import re

import pytest
import yaml

from fg_config import MISSING, Call, ConfigEnvironment, GraphError, Var, YamlError
from fg_config.exporting.export_yaml import to_yaml
from fg_config.parsing import loader
from fg_config.parsing.parse import parse_graph
from fg_config.tagged import tagged_content


def root(text):
    return parse_graph(text).root


def value(text):
    return root(f"a: {text}")["a"]


def failure(text, kind=YamlError):
    with pytest.raises(kind) as caught:
        parse_graph(text)
    return caught.value


# --- scalars ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("010", 8),
        ("1:30", 90),
        ("yes", True),
        ("off", False),
        ("~", None),
        ("", None),
        ("1.0e-3", 0.001),
        ("1e-3", "1e-3"),
        ("1.0e5", "1.0e5"),
        ("!!float 1e-3", 0.001),
        ("!!str 5", "5"),
        (".inf", float("inf")),
        ("=", "="),
        ("null", None),
        ("0x1F", 31),
        ("1_000", 1000),
        ("'2024-01-01'", "2024-01-01"),
        (".5", 0.5),
        ("[1, [], {}]", [1, [], {}]),
    ],
)
def test_scalars_are_those_of_yaml_1_1(text, expected):
    found = value(text)
    assert (found, type(found)) == (expected, type(expected))


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("2024-01-01", "timestamp"),
        ("!!binary aGk=", "binary"),
        ("!!set {a, b}", "set"),
        ("!!int x", "int"),
        ("!!int ''", "int"),
    ],
)
def test_other_types_are_errors_that_name_the_place(text, word):
    error = failure(f"x: 1\na: {text}\n")
    assert word in error.message
    assert error.span.line == 2


@pytest.mark.parametrize(
    ("text", "line", "word"),
    [
        ("a: 1\nb: [1\nc: 2\n", 2, "'[' is never closed"),
        ("a: 1\nb: [1 2: 3: 4]\n", 2, "expected ',' or ']'"),
        ("a: &x 1\nb: &x 2\n", 2, "anchor 'x' is defined twice"),
        ("a: 1\nb: *nowhere\n", 2, "no anchor 'nowhere'"),
        ("a: 1\n---\nb: 2\n", 2, "second document"),
        ("a: 'x\n\ny: 1\n", 1, "quotation mark"),
        ("a: @x\n", 1, "'@' cannot begin"),
        ("{x: !call:dict}", 1, "tag"),
    ],
)
def test_syntax_errors_name_the_line(text, line, word):
    error = failure(text)
    assert (error.span.line, word in error.message) == (line, True)


def test_what_is_never_closed_also_says_where_that_was_noticed():
    assert failure("a: 1\nb: [1\nc: 2\n").help == "add ']'; noticed at <text>:3:2: c: 2"


def test_too_deep_nesting_is_an_error_of_the_config():
    assert "too deeply" in failure("a: " + "[" * 5000 + "]" * 5000).message


def test_an_empty_document_has_no_targets():
    graph = parse_graph("# nothing\n")
    assert (graph.root, graph.targets) == (None, ())


# --- mappings -----------------------------------------------------------------------------------------------------


def test_the_last_of_repeated_keys_wins_at_the_first_place():
    assert list(root("a: 1\nb: 2\na: 3\n").items()) == [("a", 3), ("b", 2)]


def test_overridden_values_are_still_checked():
    assert failure("a: !cal:x []\na: 1\n").span.line == 1


def test_merged_keys_come_first_and_explicit_ones_win():
    merged = root(".b: &b {x: 1, y: 2}\na:\n    z: 3\n    <<: *b\n    y: 4\n")["a"]
    assert list(merged.items()) == [("x", 1), ("y", 4), ("z", 3)]


def test_of_several_merged_mappings_the_first_wins():
    assert root(".b: &b {x: 1}\n.c: &c {x: 2, y: 2}\na: {<<: [*b, *c]}\n")["a"] == {"x": 1, "y": 2}


def test_merging_keeps_identity_and_works_for_tagged_mappings():
    text = ".c: &c !call:dict []\n.b: &b !dict {x: *c}\na: !call:dict {<<: *b}\nd: !dict {<<: *b}\nx: *c\n"
    targets = root(text)
    assert targets["a"].kwargs["x"] is targets["x"]
    assert tagged_content(targets["d"])["x"] is targets["x"]


def test_merging_anything_else_is_an_error():
    assert "merges a mapping" in failure("a: {<<: 5}\n").message


# --- tags ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("tag", "kind"),
    [
        ("call", "call"),
        ("singleton", "call"),
        ("factory", "factory"),
        ("partial", "partial"),
        ("lambda", "partial"),
        ("meta", "meta"),
    ],
)
def test_call_tags(tag, kind):
    call = value(f"!{tag}:package.mod:Some.Name@label [1]")
    assert (call.kind, call.spec, call.name, call.args) == (kind, "package.mod:Some.Name", "label", (1,))


@pytest.mark.parametrize(
    ("text", "name", "default"),
    [
        ("!var n", "n", MISSING),
        ("!var {name: n}", "n", MISSING),
        ("!var {name: n, default: ~}", "n", None),
        ("!var [n, 3]", "n", 3),
        ("!var [n]", "n", MISSING),
    ],
)
def test_variables(text, name, default):
    var = value(text)
    assert isinstance(var, Var)
    assert (var.name, var.default) == (name, default)


@pytest.mark.parametrize("text", ["!var", "!var {default: 1}", "!var {name: n, defualt: 1}", "!var [1]", "!var []"])
def test_variables_need_a_name(text):
    assert failure(f"a: {text}\n").code == "FG0308"


@pytest.mark.parametrize(
    ("text", "content", "name"),
    [
        ("!list [1, 2]", [1, 2], None),
        ("!list", [], None),
        ("!list:@x [1]", [1], "x"),
        ("!list@x [1]", [1], "x"),
        ("!tuple [1]", (1,), None),
        ("!tuple", (), None),
        ("!dict {a: 1, 2: b}", {"a": 1, 2: "b"}, None),
        ("!dict", {}, None),
        ("!dlist {a: 1, b: ~, c: 3}", [1, 3], None),
        ("!dlist {~: ~}", [], None),
        ("!dlist", [], None),
    ],
)
def test_containers(text, content, name):
    call = value(text)
    assert (tagged_content(call), call.name) == (content, name)


def test_nothing_is_reserved_in_a_dict():
    content = tagged_content(value("!dict {latent_args: 1, submodule_searchpath: 2, constructor: 3, self: 4}"))
    assert content == {"latent_args": 1, "submodule_searchpath": 2, "constructor": 3, "self": 4}


def test_a_variable_that_may_be_null_stays_in_a_dlist():
    (item,) = tagged_content(value("!dlist {a: !var {name: n, default: ~}}"))
    assert item.name == "n"


@pytest.mark.parametrize(
    "text", ["!callable:x []", "!metanode:x []", "!cal:x []", "!list:5 []", "!call []", "!call:@n []"]
)
def test_unknown_tags(text):
    assert failure(f"a: {text}\n").code == "FG0305"


def test_a_misspelt_tag_gets_a_suggestion():
    assert failure("a: !factroy:x []\n").help == "did you mean '!factory'?"


def test_escapes_in_tags_are_decoded():
    assert value("!call:a%20b []").spec == "a b"


# --- arguments ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "args", "kwargs"),
    [
        ("[1, 2]", (1, 2), {}),
        ("[]", (), {}),
        ("{}", (), {}),
        ("", (), {}),
        ("{args: [1, 2]}", (1, 2), {}),
        ("{kwargs: {args: 1, arg0: 2}}", (), {"args": 1, "arg0": 2}),
        ("{args: [1], kwargs: {b: 2}}", (1,), {"b": 2}),
        ("{args: ~}", (), {"args": None}),
        ("{args: [1], kwargs: ~}", (), {"args": [1], "kwargs": None}),
        ("{args: 1, other: 2}", (), {"args": 1, "other": 2}),
        ("{arg7: b, x: 1, arg2: a}", ("a", "b"), {"x": 1}),
        ("{self: 1, constructor: 2, _identity: 3}", (), {"self": 1, "constructor": 2, "_identity": 3}),
    ],
)
def test_arguments(content, args, kwargs):
    call = value(f"!call:f {content}")
    assert (call.args, call.kwargs) == (args, kwargs)


def test_reserved_keywords_are_not_passed_on():
    call = value("!call:f {a: 1, latent_args: {b: 2}, submodule_searchpath: [d]}")
    assert (call.kwargs, call.latent_args, call.submodule_searchpath) == ({"a": 1}, {"b": 2}, ["d"])


@pytest.mark.parametrize(
    ("content", "word"),
    [
        ("{args: 5}", "must be a list"),
        ("{kwargs: 5}", "must be a mapping"),
        ("{arg1: a, arg01: b}", "same position"),
        ("{1: a}", "not a string"),
        ("word", "scalar 'word'"),
    ],
)
def test_wrong_arguments(content, word):
    error = failure(f"x: 1\na: !call:f {content}\n")
    assert (word in error.message, error.span.line) == (True, 2)


# --- the whole ----------------------------------------------------------------------------------------------------


def test_hidden_targets_are_dropped_at_the_root_only():
    targets = root(".define: &a !call:dict []\n.define: &b 1\nx: {.y: *a, z: *b}\n")
    assert list(targets) == ["x"]
    assert list(targets["x"]) == [".y", "z"]


@pytest.mark.parametrize("text", ["1: a\n", "~: a\n", "true: a\n"])
def test_target_names_are_strings(text):
    assert failure(text).code == "FG0310"


def test_other_roots_are_legal():
    assert root("[1, 2]") == [1, 2]
    assert isinstance(root("!call:dict []"), Call)


def test_names_are_unique():
    error = failure("a: !call:f@n []\nb: !call:f@n []\n", GraphError)
    assert ("'n'" in error.message, ":1" in error.message, error.span.line) == (True, True, 2)
    assert root("a: &a !call:f@n []\nb: *a\n")["a"].name == "n"


def test_a_cycle_of_aliases_is_an_error():
    assert failure("a: 1\nb: &x [*x]\n", GraphError).span.line == 2


def test_an_alias_is_the_same_value():
    targets = root("a: &a !call:f []\nb: [*a]\nc: &c [1]\nd: *c\n")
    assert targets["b"][0] is targets["a"]
    assert targets["c"] is targets["d"]


def test_doublings_are_parsed_and_walked_once():
    """Without memory the walk would make 2**39 visits and never end."""
    lines = [".n0: &n0 !call:dict []", *(f".n{i}: &n{i} !call:f [*n{i - 1}, *n{i - 1}]" for i in range(1, 40))]
    encoded = parse_graph("\n".join([*lines, "main: *n39"])).to_json()
    assert str(encoded).count("'$ref'") == 39


# --- both parsers, and roots of every kind ------------------------------------------------------------------------


@pytest.fixture(params=["CSafeLoader", "SafeLoader"])
def parser(request, monkeypatch):
    """PyYAML with its parser in C and with the one in Python, which is used where there is no libyaml."""
    if not hasattr(yaml, request.param):
        pytest.skip("PyYAML was built without libyaml")
    monkeypatch.setattr(loader, "_Loader", getattr(yaml, request.param))


@pytest.mark.parametrize(
    ("text", "tag", "next_character", "column"),
    [
        ("x: [!call:dict, 3]", "!call:dict", ",", 5),
        ("x: [&n !call:dict, 3]", "!call:dict", ",", 8),
        ("x: [!call:f [], !call:g]", "!call:g", "]", 17),
        ("x: [!call:dict]", "!call:dict", "]", 5),
        ("x: {y: !call:dict}", "!call:dict", "}", 8),
        ("x: !call:dict[]", "!call:dict", "[", 4),
        ("x: !call:dict,", "!call:dict", ",", 4),
        ("é: [!call:dict, 3]", "!call:dict", ",", 5),
    ],
)
def test_a_tag_that_does_not_end_at_a_blank(parser, text, tag, next_character, column):
    error = failure(f"a: 1\n{text}\n")
    assert error.message == f"YAML syntax: the tag {tag} runs into {next_character!r}"
    assert (error.span.line, error.span.column) == (2, column)
    assert f"`{tag} []`" in error.help


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("[!call:dict , 3]", ["dict", 3]),
        ("[!call:dict [], 3]", ["dict", 3]),
        ("[!call:a%2Cb [], 3]", ["a,b", 3]),
        ("[!call:dict {}, '!call:x, y']", ["dict", "!call:x, y"]),
    ],
)
def test_a_tag_that_ends_at_a_blank(parser, text, expected):
    first, second = value(text)
    assert [first.spec, second] == expected


def test_a_name_is_what_follows_the_first_at_sign(parser):
    call = value("!call:m:f@a@b []")
    assert (call.spec, call.name) == ("m:f", "a@b")


def test_positions_are_written_in_any_order(parser):
    call = root("sample: !call:random:sample\n    arg1: 5\n    arg0: [r, b]\n    counts: [4, 2]\n")["sample"]
    assert (call.args, call.kwargs) == ((["r", "b"], 5), {"counts": [4, 2]})


@pytest.mark.parametrize(
    "text",
    [
        "a: &a {<<: *a}",
        "a: &a {x: {<<: *a}}",
        "a: &a {<<: {<<: *a}}",
        "a: &a {<<: [*a]}",
        "a: &a [[*a]]",
        "a: &a !call:f {x: *a}",
        "a: &a !var {name: v, default: *a}",
    ],
)
def test_cycles_of_aliases_and_merges(parser, text):
    error = failure(f"z: 1\n{text}\n", GraphError)
    assert (error.span.line, "leads back" in error.message) == (2, True)


@pytest.mark.parametrize(
    ("text", "saved", "targets"),
    [
        ("[1, [2]]", {"$": "seq", "n": 0, "items": [1, {"$": "seq", "n": 1, "items": [2]}]}, ()),
        ("5", 5, ()),
        ("!var v", {"$": "var", "n": 0, "name": "v", "has_default": False}, ()),
        (
            "!call:f [1]",
            {"$": "call", "n": 0, "spec": "f", "name": None, "args": [1], "kwargs": []},
            (),
        ),
        ("a: 1\n.b: 2\n", {"$": "map", "n": 0, "items": [["a", 1]]}, ("a",)),
        ("", None, ()),
    ],
)
def test_roots_of_every_kind(parser, text, saved, targets):
    graph = parse_graph(text)
    assert (graph.to_json(), graph.targets) == (saved, targets)
    assert parse_graph(to_yaml(graph.root)).to_json() == saved


def test_paths_begin_at_a_root_of_any_kind():
    assert parse_graph("[1, {x: 2}]").at("1.x") == 2
    assert parse_graph("!call:f {x: 2}").at("x") == 2
    assert parse_graph("!list [7]").at("0") == 7
    assert parse_graph("!call:f\nx: 2\n").span("").line == 1


def test_lines_are_those_of_the_template_not_those_of_yaml():
    """YAML also ends a line at U+0085, U+2028 and U+2029."""
    loaded = ConfigEnvironment().load_from_string('a: "x\u2028y\u2029z"\nb: 1\n')
    assert loaded.graph.span("b").line == 2
    with pytest.raises(YamlError) as caught:
        ConfigEnvironment().load_from_string('a: "x\u2028y"\nb: 1: 2\n')
    assert (caught.value.span.line, caught.value.snippet) == (2, "b: 1: 2")


_DOUBLED = "\n".join(
    ["a0: &a0 { x: !call:m:S [] }", *(f"a{n}: &a{n} {{ x: *a{n - 1}, y: *a{n - 1} }}" for n in range(1, 40))]
)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("!call:m:S { args: *a39 }", "`args` must be a list, not mapping of 2"),
        ("!call:m:S { kwargs: [ *a39 ] }", "`kwargs` must be a mapping, not list of 1"),
        ("!call:m:S { args: !call:n:T [ *a39 ] }", "`args` must be a list, not !call:n:T"),
        ("!var { name: *a39 }", "the name of a variable is a string, not mapping of 2"),
    ],
)
def test_messages_show_values_in_short_however_aliases_double(line, message):
    with pytest.raises(YamlError) as caught:
        parse_graph(f"{_DOUBLED}\nz: {line}")
    assert caught.value.message == message


@pytest.mark.parametrize("parser", ["CSafeLoader", "SafeLoader"])
@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: 1\nb: {{ '\\ud800' }}\n", "the character U+D800 is not allowed"),
        ("a: 1\nb: '\x07'\n", "the character U+0007 is not allowed"),
        (f"a: 1\nb: 0x{'f' * 5000}\n", "is no int"),
    ],
)
def test_what_cannot_be_a_value_is_refused_at_its_line(text, message, parser, monkeypatch):
    monkeypatch.setattr(loader, "_Loader", getattr(yaml, parser))
    with pytest.raises(YamlError, match=re.escape(message)) as caught:
        ConfigEnvironment().load_from_string(text)
    assert caught.value.span.line == 2


@pytest.mark.parametrize(
    ("first", "second"), [("1", "true"), ("false", "0"), ("1", "1.0"), ("1.0", "true"), ("0.0", "-0")]
)
def test_keys_that_python_cannot_tell_apart_are_an_error_at_the_second(first, second):
    error = failure(f"a:\n  {first}: x\n  z: 1\n  {second}: y\n")
    assert (error.code, error.message) == (
        "FG0303",
        f"the keys {first} and {second.strip('-')} are the same key to Python",
    )
    assert error.span is not None and (error.span.line, error.span.column) == (4, 3)


def test_a_merged_key_that_python_cannot_tell_apart_is_an_error_at_the_key_that_would_replace_it():
    error = failure("a: &a { 1: x }\nb:\n  <<: *a\n  true: y\n")
    assert error.span is not None and error.span.line == 4


def test_a_number_may_be_repeated_as_a_key_however_it_is_written():
    assert root("a: { 1: x, 0x1: y, '1': z }") == {"a": {1: "y", "1": "z"}}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("8: x", "the target name 8 is an int, not a string"),
        ("true: x", "the target name true is a bool, not a string"),
        ("~: x", "the target name null is null, not a string"),
        ("a: !call:dict { 1.5: 2 }", "the keyword 1.5 is a float, not a string"),
    ],
)
def test_a_name_of_the_wrong_type_is_told_with_its_article(text, message):
    assert failure(text).message == message
