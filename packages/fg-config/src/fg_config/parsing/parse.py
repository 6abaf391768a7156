"""YAML nodes to the graph: tags, merges, repeated keys and the arguments of calls.

Nothing is imported here. Each YAML node is parsed once, so an alias is the same graph value as its anchor.
"""

from __future__ import annotations

import re
from collections.abc import Hashable, Mapping
from pathlib import Path
from typing import Any, Final, TypeAlias

import yaml

from fg_config.errors import GraphError, YamlError
from fg_config.graph import Graph
from fg_config.hints import nearest
from fg_config.nodes import MISSING, Call, CallKind, Layer, Span, Value, Var
from fg_config.parsing.arguments import split_arguments
from fg_config.parsing.loader import MAP_TAG, MERGE_TAG, SEQUENCE_TAG, compose, scalar
from fg_config.parsing.places import span_of, yaml_error
from fg_config.parsing.run_on_tags import run_on_tag, run_on_tag_error
from fg_config.parsing.syntax_errors import statement_without_blank
from fg_config.shown import shown_scalar, shown_type, shown_value
from fg_config.walking import MOST_NESTED, height

_Pair: TypeAlias = tuple[yaml.Node, yaml.Node]
_Merged: TypeAlias = tuple[yaml.Node, yaml.Node, Span]

_CALLS: Final[Mapping[str, CallKind]] = {
    "call": "call",
    "singleton": "call",
    "factory": "factory",
    "partial": "partial",
    "lambda": "partial",
    "meta": "meta",
}
_CONTAINERS: Final = ("list", "tuple", "dict", "dlist")
_WORDS: Final = (*_CALLS, *_CONTAINERS, "var")
_TAG: Final = re.compile(r"!(\w+)(?::(.*))?", re.DOTALL)
_SHAPES: Final = {dict: "a mapping", list: "a list"}
_NAMED_CONTAINER: Final = re.compile(r"!(list|tuple|dict|dlist):?@(.+)")


def parse_graph(text: str, *, directory: Path | None = None) -> Graph:
    """Parse rendered text. `directory` is what relative file names in import specs are relative to.

    Raises `YamlError` or `GraphError`, both with the template line.
    """
    parser = _Parser(text)
    try:
        node = compose(text)
        root = None if node is None else parser.value(node)
    except RecursionError as error:
        raise YamlError("YAML: lists and mappings nest too deeply") from error
    if isinstance(root, str) and (error := statement_without_blank(text)):
        raise error
    if node is not None and type(root) is dict:
        _check_root_keys(parser, node, root)
        root = _without_hidden(parser, root)
    return Graph(root, spans=parser.spans, layers=parser.layers, item_keys=parser.item_keys, directory=directory)


def _check_root_keys(parser: _Parser, node: yaml.Node, root: Mapping[Any, Value]) -> None:
    for key in root:
        if not isinstance(key, str):
            span = parser.spans.get((id(root), key)) or span_of(node, parser.text)
            raise YamlError(
                f"the target name {shown_scalar(key)} is {shown_type(key)}, not a string",
                code="FG0310",
                span=span,
                help="put it in quotes",
            )


def _without_hidden(parser: _Parser, root: dict[Any, Value]) -> dict[Any, Value]:
    """Targets are what does not begin with a dot (`.define: &x …` declares without exposing)."""
    targets = {key: value for key, value in root.items() if not key.startswith(".")}
    for key in targets:
        parser.copy_place(root, key, targets, key)
    parser.forget(root)
    return targets


def _first_and_last(pairs: list[_Pair]) -> list[_Pair]:
    """Of an entry that came here in several ways, the first, which has its place, and the last, which has its say.

    Mappings that merge each other twice would otherwise double their entries at every step.
    """
    last = {(id(key), id(value)): index for index, (key, value) in enumerate(pairs)}
    if len(last) == len(pairs):
        return pairs
    first = {(id(key), id(value)): index for index, (key, value) in reversed(list(enumerate(pairs)))}
    return [pairs[index] for index in sorted({*first.values(), *last.values()})]


def _placed_by(key: yaml.Node, value: yaml.Node) -> yaml.Node:
    """The node whose place is that of the entry: the value, unless its own place is elsewhere.

    An alias is composed to the node of its anchor, which stands before the key; a block begins below its key.
    """
    at, key_at = value.start_mark, key.start_mark
    below = at.line > key_at.line and not isinstance(value, yaml.ScalarNode)
    return key if below or at.index < key_at.index else value


class _Parser:
    def __init__(self, text: str) -> None:
        self.text = text
        self.spans: dict[tuple[int, Any], Span] = {}
        self.item_keys: dict[int, list[Any]] = {}
        self.layers: dict[tuple[int, Any], tuple[Layer, ...]] = {}
        self._values: dict[int, Value] = {}
        self._heights: dict[int, int] = {}
        self._merges: dict[int, list[_Merged]] = {}
        self._open: set[int] = set()
        self._names: dict[str, Call] = {}

    def error(self, message: str, node: yaml.Node, code: str, help: str | None = None) -> YamlError:
        return yaml_error(message, node, self.text, code=code, help=help)

    def value(self, node: yaml.Node) -> Value:
        """The graph value of a YAML node, the same one at every alias."""
        if id(node) in self._values:
            return self._values[id(node)]
        if id(node) in self._open:
            raise self._cycle(node)
        self._open.add(id(node))
        self._values[id(node)] = value = self._fresh(node)
        self._open.discard(id(node))
        if height(value, self._heights) > MOST_NESTED:
            message = f"lists, mappings and nodes nest more than {MOST_NESTED} levels deep, through aliases as well"
            raise self.error(f"YAML: {message}", node, "FG0300")
        return value

    def _fresh(self, node: yaml.Node) -> Value:
        if node.tag.startswith("!"):
            return self._tagged(node)
        if isinstance(node, yaml.MappingNode) and node.tag == MAP_TAG:
            return self.mapping(node)
        if isinstance(node, yaml.SequenceNode) and node.tag == SEQUENCE_TAG:
            return self.sequence(node)
        if isinstance(node, yaml.ScalarNode):
            return scalar(node, self.text)
        tag = node.tag.replace("tag:yaml.org,2002:", "!!")
        help = f"name what to call instead: {', '.join(f'!{word}' for word in _WORDS)}"
        raise self.error(f"the tag {tag!r} is no part of the language", node, "FG0302", help)

    # --- plain containers ------------------------------------------------------------------------------------------

    def sequence(self, node: yaml.SequenceNode) -> list[Value]:
        """A new list of the items."""
        items = [self.value(item) for item in node.value]
        self.spans.update({(id(items), index): span_of(item, self.text) for index, item in enumerate(node.value)})
        return items

    def mapping(self, node: yaml.MappingNode) -> dict[Any, Value]:
        """A new dict: merged entries first; of a repeated key the last value, at the first place."""
        result: dict[Any, Value] = {}
        for key_node, value_node, merge in self._merged(node):
            self._write(result, key_node, value_node, merge)
        for key_node, value_node in node.value:
            if key_node.tag != MERGE_TAG:
                self._write(result, key_node, value_node, None)
        return result

    def _write(self, result: dict[Any, Value], key_node: yaml.Node, value_node: yaml.Node, merge: Span | None) -> None:
        """Set an entry. What it replaces is remembered as a layer, and so is a merge; most entries need neither."""
        key, value = self._key(key_node), self.value(value_node)
        place, span = (id(result), key), span_of(_placed_by(key_node, value_node), self.text)
        if merge is not None or key in result:
            self._check_distinct(key, result, key_node)
            how = "explicit" if merge is None else "merge"
            self._remember(place, result, Layer(value=value, span=span, how=how, merged_at=merge))
        result[key] = value
        self.spans[place] = span

    def _check_distinct(self, key: Hashable, result: Mapping[Any, Value], node: yaml.Node) -> None:
        """Python takes 1, 1.0 and true for one key. One of them must not replace another, as if it were repeated."""
        other = key if isinstance(key, str) else next((known for known in result if known == key), key)
        if type(other) is not type(key):
            message = f"the keys {shown_scalar(other)} and {shown_scalar(key)} are the same key to Python"
            raise self.error(message, node, "FG0303", "put one of them in quotes, or take it out")

    def _remember(self, place: tuple[int, Any], result: Mapping[Any, Value], layer: Layer) -> None:
        earlier = self.layers.get(place, ())
        if not earlier and place[1] in result:
            earlier = (Layer(value=result[place[1]], span=self.spans[place]),)
        self.layers[place] = (*earlier, layer)

    def copy_place(self, source: Any, source_key: Any, to: Any, key: Any) -> None:
        """Place and layers of an entry are also those of an entry of another holder."""
        place = id(source), source_key
        if place in self.spans:
            self.spans[id(to), key] = self.spans[place]
        if place in self.layers:
            self.layers[id(to), key] = self.layers[place]

    def forget(self, source: Any) -> None:
        """Drop the places of a container that vanishes: another object can have its identity then."""
        for key in source if isinstance(source, dict) else range(len(source)):
            self.spans.pop((id(source), key), None)
            self.layers.pop((id(source), key), None)

    def _key(self, node: yaml.Node) -> Hashable:
        key = self.value(node)
        if isinstance(key, (Call, Var)):
            raise self.error("a node cannot be a key", node, "FG0303", "keys are text or numbers")
        if isinstance(key, (list, dict, tuple)):
            raise self.error(f"a {type(key).__name__} cannot be a key", node, "FG0303", "keys are text or numbers")
        return key

    def _merged(self, node: yaml.MappingNode) -> list[_Merged]:
        """The entries that the merges of the mapping bring, each with the place of the `<<`."""
        if id(node) not in self._merges:
            found: list[_Merged] = []
            for key, value in node.value:
                if key.tag == MERGE_TAG:
                    place = span_of(key, self.text)
                    found += [(*pair, place) for pair in self._merge_source(value, key)]
            self._merges[id(node)] = found
        return self._merges[id(node)]

    def _merge_source(self, node: yaml.Node, merge: yaml.Node) -> list[_Pair]:
        if isinstance(node, yaml.MappingNode):
            return self._flat(node)
        if isinstance(node, yaml.SequenceNode) and all(isinstance(item, yaml.MappingNode) for item in node.value):
            # The first mapping listed wins, and of repeated keys the last is kept.
            return _first_and_last([pair for item in reversed(node.value) for pair in self._flat(item)])
        help = f"it got what is written at {span_of(node, self.text)}"
        raise self.error("'<<' merges a mapping or a list of mappings", merge, "FG0304", help)

    def _flat(self, node: yaml.MappingNode) -> list[_Pair]:
        """All entries of a mapping that is merged, those of its own merges first."""
        if id(node) in self._open:
            raise self._cycle(node)
        self._open.add(id(node))
        merged: list[_Pair] = [(key, value) for key, value, _ in self._merged(node)]
        self._open.discard(id(node))
        return _first_and_last(merged) + [pair for pair in node.value if pair[0].tag != MERGE_TAG]

    def _cycle(self, node: yaml.Node) -> GraphError:
        span, help = span_of(node, self.text), "an alias stands behind the node it names, never inside"
        return GraphError("an alias leads back to the node that holds it", code="FG0407", span=span, help=help)

    # --- tags ------------------------------------------------------------------------------------------------------

    def _tagged(self, node: yaml.Node) -> Value:
        if run_on := run_on_tag(node, self.text):
            raise run_on_tag_error(run_on, self.text)
        if container := _NAMED_CONTAINER.fullmatch(node.tag):
            return self._container(node, container[1], container[2])
        found = _TAG.fullmatch(node.tag)
        word, rest = (found[1], found[2]) if found else ("", None)
        if word in _CALLS:
            return self._call(node, _CALLS[word], rest)
        if word in _CONTAINERS and not rest:
            return self._container(node, word, None)
        if word == "var" and not rest:
            return self._var(node)
        hint = nearest(f"!{word}", [f"!{known}" for known in _WORDS], "tags")
        raise self.error(f"unknown tag {node.tag!r}", node, "FG0305", hint)

    def _content(self, node: yaml.Node) -> list[Value] | dict[Any, Value] | None:
        """The content of a tagged node; None when it has none."""
        if isinstance(node, yaml.MappingNode):
            return self.mapping(node)
        if isinstance(node, yaml.SequenceNode):
            return self.sequence(node)
        if node.value == "":
            return None
        help = "arguments are a list or a mapping: put the value in brackets"
        raise self.error(f"{node.tag} has the scalar {node.value!r} as its content", node, "FG0306", help)

    def _call(self, node: yaml.Node, kind: CallKind, rest: str | None) -> Call:
        spec, _, name = (rest or "").partition("@")
        if not spec:
            raise self.error(f"{node.tag} names nothing to call", node, "FG0305", "write !call:module:Name")
        content = self._content(node)
        arguments = split_arguments(content, lambda message, help: self.error(message, node, "FG0307", help))
        call = Call(
            kind=kind,
            spec=spec,
            name=name or None,
            span=span_of(node, self.text),
            args=tuple(arguments.args),
            kwargs=arguments.kwargs,
            latent_args=arguments.latent_args,
            submodule_searchpath=arguments.submodule_searchpath,
        )
        for key, (container, place) in arguments.origins.items():
            self.copy_place(container, place, call, key)
        self.forget(content or ())
        return self._named(call, node)

    def _container(self, node: yaml.Node, word: str, name: str | None) -> Call:
        content = self._content(node)
        kind = "dict" if word == "dict" else "tuple" if word == "tuple" else "list"
        wanted = dict if word in ("dict", "dlist") else list
        if content is None:
            content = wanted()
        if not isinstance(content, wanted):
            help = "for a mapping there is !dict, for the values of a mapping !dlist, for a list !list and !tuple"
            raise self.error(f"!{word} takes {_SHAPES[wanted]}, not {_SHAPES[type(content)]}", node, "FG0306", help)
        inner = self._listed(content) if word == "dlist" else tuple(content) if word == "tuple" else content
        call = Call(kind="call", spec=f"named_{kind}", name=name, span=span_of(node, self.text), args=(inner,))
        if word == "tuple":
            for index in range(len(content)):
                self.copy_place(content, index, inner, index)
        if inner is not content:
            self.forget(content)
        return self._named(call, node)

    def _listed(self, content: Any) -> list[Value]:
        """The values of a `!dlist` without those deleted by `~`."""
        kept = [(key, value) for key, value in content.items() if value is not None]
        items = [value for _, value in kept]
        self.item_keys[id(items)] = [key for key, _ in kept]
        for index, (key, _) in enumerate(kept):
            self.copy_place(content, key, items, index)
        for key in (key for key, value in content.items() if value is None and isinstance(key, str)):
            place = (id(content), key)
            self.layers[id(items), key] = self.layers.get(place, (Layer(value=None, span=self.spans[place]),))
        return items

    def _named(self, call: Call, node: yaml.Node) -> Call:
        if call.name is None:
            return call
        first = self._names.setdefault(call.name, call)
        if first is not call:
            message = f"the name {call.name!r} is given to two nodes; the first is at {first.span}"
            raise GraphError(message, code="FG0402", span=span_of(node, self.text), help="names are unique")
        return call

    def _var(self, node: yaml.Node) -> Var:
        span = span_of(node, self.text)
        if isinstance(node, yaml.ScalarNode):
            return self._make_var(node, node.value, MISSING, span)
        content = self._content(node)
        if isinstance(content, list) and 1 <= len(content) <= 2:
            var = self._make_var(node, content[0], content[1] if len(content) == 2 else MISSING, span)
            return self._placed(var, content, 1)
        if isinstance(content, dict) and "name" in content and content.keys() <= {"name", "default"}:
            var = self._make_var(node, content["name"], content.get("default", MISSING), span)
            return self._placed(var, content, "default")
        help = "write `!var name` or `!var { name: n, default: d }`"
        if isinstance(content, dict) and (unknown := [str(key) for key in content if key not in ("name", "default")]):
            help = nearest(unknown[0], ("name", "default")) or help
            raise self.error(f"a variable has no {unknown[0]!r}", node, "FG0308", help)
        raise self.error("a variable needs a name", node, "FG0308", help)

    def _placed(self, var: Var, content: list[Value] | dict[Any, Value], key: Any) -> Var:
        self.copy_place(content, key, var, "default")
        self.forget(content)
        return var

    def _make_var(self, node: yaml.Node, name: Value, default: Any, span: Span) -> Var:
        if not isinstance(name, str) or not name:
            raise self.error(f"the name of a variable is a string, not {shown_value(name)}", node, "FG0308")
        return Var(name=name, default=default, span=span)
