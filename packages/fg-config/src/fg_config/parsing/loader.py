"""YAML 1.1 text to PyYAML nodes and scalars, with every error at the line of a template.

The C parser composes nodes with their marks; what they mean (tags, merges, repeated keys) is decided here and in
`parse`, because overriding by repetition and merging with identity are part of the language.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, Final

import yaml
from yaml.constructor import SafeConstructor

from fg_config.errors import YamlError
from fg_config.parsing.nesting import too_deep
from fg_config.parsing.places import line_around, span_at, yaml_error

_TAG: Final = "tag:yaml.org,2002:"
_constructor = SafeConstructor()
_SCALARS: Final[dict[str, Callable[[yaml.ScalarNode], Any]]] = {
    f"{_TAG}null": lambda node: None,
    f"{_TAG}bool": _constructor.construct_yaml_bool,
    f"{_TAG}int": _constructor.construct_yaml_int,
    f"{_TAG}float": _constructor.construct_yaml_float,
    f"{_TAG}str": lambda node: node.value,
    f"{_TAG}value": lambda node: node.value,
}
MERGE_TAG: Final = f"{_TAG}merge"
MAP_TAG: Final = f"{_TAG}map"
SEQUENCE_TAG: Final = f"{_TAG}seq"
_HELP: Final = {
    f"{_TAG}timestamp": "put it in quotes: dates are no value type here",
    f"{_TAG}binary": "binary data is no value type here; name a file instead",
    f"{_TAG}set": "use a list, or build one with !call:set",
    MERGE_TAG: "'<<' is only meaningful as a key; put it in quotes",
}
_NOT_ALLOWED: Final = re.compile("[^\t\n\r -~\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def compose(text: str) -> yaml.Node | None:
    """Parse one YAML document to nodes; None when it is empty. Raises `YamlError`."""
    plain = str.__str__(text)  # the C parser takes no subclass of str
    _check_nesting(plain, text)
    try:
        loader = _Loader(plain)
    except (yaml.reader.ReaderError, UnicodeEncodeError) as error:  # one parser reads ahead, the other encodes
        raise _character_error(text) from error
    try:
        return loader.get_single_node()
    except yaml.MarkedYAMLError as error:
        from fg_config.parsing.syntax_errors import syntax_error  # imported here: most texts have none

        raise syntax_error(error, text) from error
    except yaml.reader.ReaderError as error:
        raise _character_error(text) from error
    finally:
        loader.dispose()


def _character_error(text: str) -> YamlError:
    found = _NOT_ALLOWED.search(text)
    assert found is not None, "the parser refused a character that YAML has"
    mark = yaml.Mark("", found.start(), text.count("\n", 0, found.start()), 0, None, 0)
    code = f"U+{ord(found[0]):04X}"
    help = f'write it as an escape, "\\u{ord(found[0]):04x}" in double quotes'
    return YamlError(f"YAML syntax: the character {code} is not allowed", span=span_at(mark, text), help=help)


def _check_nesting(plain: str, text: str) -> None:
    mark = too_deep(plain, lambda: _Loader(plain))
    if mark is not None:
        help = "give the inner parts anchors of their own"
        span, snippet = span_at(mark, text), line_around(mark.index, text)[:80]
        raise YamlError("YAML: lists and mappings nest too deeply", span=span, snippet=snippet, help=help)


def scalar(node: yaml.ScalarNode, text: str) -> bool | int | float | str | None:
    """The value of an untagged scalar. Raises `YamlError` for types the language does not have."""
    construct = _SCALARS.get(node.tag)
    if construct is None:
        name = node.tag.removeprefix(_TAG)
        raise yaml_error(f"{node.value!r} has type {name!r}", node, text, code="FG0302", help=_HELP.get(node.tag))
    try:
        value = construct(node)
        if isinstance(value, int):
            str(value)  # Python refuses to write thousands of digits, so nobody could look at the config
        return value
    except (ValueError, KeyError, IndexError) as error:  # PyYAML looks at the first character of `!!int ''`
        name = node.tag.removeprefix(_TAG)
        raise yaml_error(f"{node.value!r:.60} is no {name}", node, text, code="FG0302") from error


def plain_data(node: yaml.Node | None, text: str = "") -> Any:
    """The value of a document without tags, merges or anchors (alias files)."""
    if node is None:
        return None
    if isinstance(node, yaml.MappingNode):
        return {plain_data(key, text): plain_data(value, text) for key, value in node.value}
    if isinstance(node, yaml.SequenceNode):
        return [plain_data(item, text) for item in node.value]
    assert isinstance(node, yaml.ScalarNode)
    return scalar(node, text)
