"""FG03: YAML that means something else than it seems to."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import yaml

from fg_config.lint.context import ConfigContext
from fg_config.lint.findings import Finding
from fg_config.lint.slips import is_slip
from fg_config.nodes import Span
from fg_config.parsing.loader import MERGE_TAG
from fg_config.parsing.places import span_of

_EXPONENT: Final = re.compile(r"([-+]?)(\d[\d_]*)?(?:\.(\d*))?[eE]([-+]?\d+)")
_INFINITY: Final = re.compile(r"([-+]?)inf", re.IGNORECASE)
_OCTAL: Final = re.compile(r"([-+]?)0o([0-7]+)")
_LOST_NAME: Final = re.compile(r"!(list|tuple|dict|dlist)@(.+)")
_EMPTY_NAME: Final = re.compile(r"!\w+:[^@]+@")
_STRING: Final = "tag:yaml.org,2002:str"
_Loader: Final = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def nodes_of(root: yaml.Node | None) -> Iterator[yaml.Node]:
    """Every node of a document once."""
    todo, seen = [root] if root is not None else [], set()
    while todo:
        node = todo.pop()
        if id(node) in seen:
            continue
        seen.add(id(node))
        yield node
        if isinstance(node, yaml.SequenceNode):
            todo += reversed(node.value)
        elif isinstance(node, yaml.MappingNode):
            todo += [part for pair in reversed(node.value) for part in reversed(pair)]


def numbers_as_text(context: ConfigContext) -> Iterator[Finding]:
    """Plain scalars that look like a number and are a string in YAML 1.1."""
    assert context.text is not None
    for node in nodes_of(context.document):
        plain = isinstance(node, yaml.ScalarNode) and node.tag == _STRING and not node.style
        if plain and (number := _as_number(node.value)):
            message = f"{node.value} is read as text, not as a number"
            help = f"write {number}, or '{node.value}' in quotes if it is text"
            yield context.found("FG0320", message, span_of(node, context.text), help)


def _as_number(text: str) -> str | None:
    """How YAML 1.1 writes the number that `text` looks like."""
    if found := _EXPONENT.fullmatch(text):
        sign, whole, part, exponent = found.groups()
        if not whole and not part:
            return None
        signed = exponent if exponent[0] in "-+" else f"+{exponent}"
        return f"{sign}{whole or '0'}.{part or '0'}e{signed}"
    if found := _INFINITY.fullmatch(text):
        return f"{found[1]}.inf"
    if found := _OCTAL.fullmatch(text):
        return f"{found[1]}0{found[2]}"
    return None


def lost_names(context: ConfigContext) -> Iterator[Finding]:
    """`!list@name`, which other readers take for `!list`."""
    assert context.text is not None
    for node in nodes_of(context.document):
        if found := _LOST_NAME.fullmatch(node.tag):
            message = f"{node.tag} is only understood here: the name stands behind a colon"
            yield context.found("FG0321", message, span_of(node, context.text), f"write !{found[1]}:@{found[2]}")


def empty_names(context: ConfigContext) -> Iterator[Finding]:
    """`!call:module:Name@`, which is read as if the `@` were not there."""
    assert context.text is not None
    for node in nodes_of(context.document):
        if _EMPTY_NAME.fullmatch(node.tag):
            message = f"no name stands behind the @ of {node.tag}, so the node has none"
            help = f"write a name behind it, or {node.tag.removesuffix('@')}"
            yield context.found("FG0324", message, span_of(node, context.text), help)


# --- anchors ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Anchor:
    """An anchor of a rendered text, with its place in the templates and the places of its aliases."""

    name: str
    span: Span
    uses: tuple[Span, ...] = ()


def anchors_of(text: str) -> list[Anchor]:
    """The anchors of a rendered text that YAML can read, in order."""
    anchors: dict[str, Span] = {}
    uses: dict[str, list[Span]] = {}
    for event in yaml.parse(str.__str__(text), Loader=_Loader):
        name = getattr(event, "anchor", None)
        if name is None:
            continue
        place = _place(event, text)
        if isinstance(event, yaml.AliasEvent):
            uses.setdefault(name, []).append(place)
        else:
            anchors[name] = place
    return [Anchor(name=name, span=span, uses=tuple(uses.get(name, ()))) for name, span in anchors.items()]


def _place(event: yaml.Event, text: str) -> Span:
    marked = yaml.ScalarNode("", "", event.start_mark, event.end_mark)
    return span_of(marked, text)


def unused_anchors(context: ConfigContext) -> Iterator[Finding]:
    """Anchors of the project's own files that no alias refers to."""
    assert context.text is not None
    for anchor in anchors_of(context.text):
        if not anchor.uses and context.owns(anchor.span):
            yield context.found("FG0322", f"no alias refers to the anchor &{anchor.name}", anchor.span)


# --- overriding ---------------------------------------------------------------------------------------------------


def keys_that_override_nothing(context: ConfigContext) -> Iterator[Finding]:
    """A key that a child adds behind super() and that is a slip away from one that it inherits."""
    for node in nodes_of(context.document):
        if isinstance(node, yaml.MappingNode):
            yield from _slips(context, node)


def _slips(context: ConfigContext, node: yaml.MappingNode) -> Iterator[Finding]:
    assert context.text is not None
    keys = [key for key, _ in node.value if isinstance(key, yaml.ScalarNode) and key.tag != MERGE_TAG]
    count = Counter(key.value for key in keys)
    places = [(key.value, span_of(key, context.text)) for key in keys]
    for name, span in places:
        if count[name] > 1 or not _is_in_extending_block(context, span):
            continue
        for other, origin in places:
            if _template(origin) != _template(span) and count[other] == 1 and is_slip(name, other):
                message = f"{name!r} overrides nothing; the parent of this block has {other!r} ({origin})"
                yield context.found("FG0323", message, span, f"did you mean {other!r}?")


def _template(span: Span) -> tuple[str, str | None]:
    return span.file, span.label


def _is_in_extending_block(context: ConfigContext, span: Span) -> bool:
    template = context.template_at(span)
    block = template.facts.block_at(span.line - template.source.first_line + 1) if template else None
    return block is not None and block.calls_super
