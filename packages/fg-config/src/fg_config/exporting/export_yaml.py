"""A graph written as YAML that reads back as the same graph.

Nodes that need a name come first, children before parents, as `.define: &name !tag …`; then the targets, which
refer to them by alias. The text also survives the template passes (no scalar of it can look like an operator line,
a `##` comment or a Jinja tag), so it can be saved and used as a config.
"""

from __future__ import annotations

import itertools
import math
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal, TypeAlias
from urllib.parse import quote

from yaml import ScalarNode
from yaml.resolver import Resolver

from fg_config.errors import GraphError
from fg_config.nodes import Call, Missing, Value, Var
from fg_config.tagged import container_tag, tagged_content

NamePolicy: TypeAlias = Literal["required", "named", "all"]
NAME_POLICIES: Final[tuple[NamePolicy, ...]] = ("required", "named", "all")

_GREEK = (
    "alpha beta gamma delta epsilon zeta eta theta iota kappa lambda mu nu xi omicron pi rho sigma tau upsilon phi "
    "chi psi omega"
)
_PLAIN = re.compile(r"(?:[A-Za-z_/]|\.[A-Za-z/]|\.\./)[\w./+()=,@-]*(?: [\w./+()=,@-]+)*", re.ASCII)
_POSITIONAL = re.compile(r"arg\d+")
_ESCAPES = {'"': '\\"', "\\": "\\\\", "\n": "\\n", "\t": "\\t", "\r": "\\r"}
_SIMPLE_KEY_LIMIT = 1000  # YAML finds the colon of a simple key within 1024 characters only
_RESOLVER = Resolver()


def checked_policy(name: str) -> NamePolicy:
    """`name`, when it is a name policy; otherwise `GraphError`."""
    for policy in NAME_POLICIES:
        if name == policy:
            return policy
    raise GraphError(f"unknown name policy {name!r}", help=f"use one of: {', '.join(NAME_POLICIES)}")


def to_yaml(root: Value, *, name_policy: str = "named") -> str:
    """Write the graph below `root` as one YAML document.

    `name_policy` says which call nodes get an anchor of their own: `required` (only those met more than once),
    `named` (also those with an explicit `@name`) or `all`. Shared containers and variables are always anchored.

    Raises `GraphError` for a value that the language cannot express (a plain tuple, a set, a key that is a node).
    """
    policy = checked_policy(name_policy)
    try:
        return "\n".join(_lines(root, policy)) + "\n"
    except RecursionError as error:
        raise GraphError("lists and mappings nest too deeply to be written as YAML") from error


def _lines(root: Value, policy: NamePolicy) -> Iterator[str]:
    shared = _SharedValues.of(root)
    writer = _Writer(names=_anchor_names(shared, policy))
    if isinstance(root, dict):
        yield from writer.definitions(shared.postorder)
    yield from writer.root(root)


# --- what is met, and how often ---------------------------------------------------------------------------------


@dataclass(slots=True)
class _SharedValues:
    """Every node and container with the number of places that hold it, in pre-order and in post-order."""

    visits: Counter[int] = field(default_factory=Counter)
    preorder: list[Value] = field(default_factory=list)
    postorder: list[Value] = field(default_factory=list)

    @classmethod
    def of(cls, root: Value) -> _SharedValues:
        found = cls()
        found._visit(root)
        return found

    def _visit(self, value: Value) -> None:
        if isinstance(value, tuple):  # the content of one `!tuple`, which is what can be shared
            for child in value:
                self._visit(child)
        if not isinstance(value, (Call, Var, list, dict)):
            return
        self.visits[id(value)] += 1
        if self.visits[id(value)] > 1:
            return
        self.preorder.append(value)
        for child in children(value):
            self._visit(child)
        self.postorder.append(value)

    def needs_name(self, value: Value, policy: NamePolicy) -> bool:
        if value == [] or value == {}:
            return False  # the identity of an empty plain container means nothing
        if self.visits[id(value)] > 1:
            return True
        return isinstance(value, Call) and (policy == "all" or (policy == "named" and bool(value.name)))


def children(value: Value) -> Iterator[Value]:
    """The values directly inside a node or container, in the order in which building meets them."""
    if isinstance(value, Call):
        yield from value.args
        yield from value.kwargs.values()
        yield value.latent_args
        yield value.submodule_searchpath
    elif isinstance(value, Var):
        if not isinstance(value.default, Missing):
            yield value.default
    elif isinstance(value, dict):
        yield from value.values()
    elif isinstance(value, (list, tuple)):
        yield from value


def _anchor_names(shared: _SharedValues, policy: NamePolicy) -> dict[int, str]:
    """Anchor of every value that needs one: its explicit name where it has one, else the next Greek letter."""
    needing = [value for value in shared.preorder if shared.needs_name(value, policy)]
    explicit = {_anchor(value.name): id(value) for value in needing if isinstance(value, Call) and value.name}
    names = {identity: name for name, identity in explicit.items()}
    free = (name for name in _greek_names() if name not in explicit)
    return {id(value): names[id(value)] if id(value) in names else next(free) for value in needing}


def _anchor(name: str) -> str:
    """`name` with everything that an anchor cannot hold written as its code point."""
    return re.sub(r"[^A-Za-z0-9_-]", lambda match: f"-{ord(match[0]):x}-", name)


def _greek_names() -> Iterator[str]:
    for length in itertools.count(1):
        for letters in itertools.product(_GREEK.split(), repeat=length):
            yield "_".join(letters) + "_"


# --- writing ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Block:
    """A value as text: what stands behind the key, and the lines below it (indented relative to each other)."""

    head: str
    body: tuple[str, ...] = ()


@dataclass(slots=True)
class _Writer:
    names: Mapping[int, str]
    written: set[int] = field(default_factory=set)

    def definitions(self, values: Sequence[Value]) -> Iterator[str]:
        root = values[-1] if values else None
        for value in values:
            if id(value) in self.names and value is not root:
                yield from _entry(".define", self.block(value))
                yield ""

    def root(self, value: Value) -> list[str]:
        if isinstance(value, dict) and any(isinstance(key, str) and key.startswith(".") for key in value):
            dotted = next(key for key in value if isinstance(key, str) and key.startswith("."))
            raise GraphError(
                f"the target {dotted!r} cannot be written", help="root keys with a dot are dropped on loading"
            )
        block = self.block(value)
        return [*([block.head] if block.head else []), *block.body]

    def block(self, value: Value) -> _Block:
        name = self.names.get(id(value))
        if name is None:
            return self._content(value)
        if id(value) in self.written:
            return _Block(f"*{name}")
        self.written.add(id(value))
        content = self._content(value)
        return _Block(f"&{name} {content.head}".rstrip(), content.body)

    def _content(self, value: Value) -> _Block:
        if isinstance(value, Call):
            return self._call(value)
        if isinstance(value, Var):
            return self._variable(value)
        if isinstance(value, dict):
            return _Block("", self._mapping(value)) if value else _Block("{}")
        if isinstance(value, list):
            return _Block("", self._sequence(value)) if value else _Block("[]")
        return _Block(scalar(value))

    def _call(self, call: Call) -> _Block:
        container = tagged_content(call)
        # A content that is shared needs its own anchor, and `!list` leaves no place for it.
        if container is None or id(container) in self.names:
            tag, content = _call_tag(call), self._content(call_content(call))
        else:
            listed = list(container) if isinstance(container, tuple) else container
            tag, content = _container_tag(call), self._content(listed)
        return _Block(f"{tag} {content.head}".rstrip(), content.body)

    def _variable(self, var: Var) -> _Block:
        if isinstance(var.default, Missing):
            return _Block(f"!var {scalar(var.name)}")
        return _Block("!var", self._mapping({"name": var.name, "default": var.default}))

    def _mapping(self, items: Mapping[Any, Any]) -> tuple[str, ...]:
        return tuple(line for key, value in items.items() for line in _entry(scalar(key), self.block(value)))

    def _sequence(self, items: Sequence[Value]) -> tuple[str, ...]:
        return tuple(line for item in items for line in _item(self.block(item)))


def _entry(key: str, block: _Block) -> Iterator[str]:
    if len(key) > _SIMPLE_KEY_LIMIT:
        yield f"? {key}"
        key = ""
    yield f"{key}: {block.head}".rstrip()
    yield from (f"    {line}" for line in block.body)


def _item(block: _Block) -> Iterator[str]:
    first, *rest = [block.head, *block.body] if block.head else block.body
    yield f"- {first}"
    yield from (f"  {line}" for line in rest)


def _container_tag(call: Call) -> str:
    tag = f"!{container_tag(call)}"
    return f"{tag}:@{_uri(call.name)}" if call.name else tag


def _call_tag(call: Call) -> str:
    if "@" in call.spec:
        raise GraphError(f"the import spec {call.spec!r} cannot be written: it holds '@'", span=call.span)
    tag = f"!{call.kind}:{_uri(call.spec)}"
    return f"{tag}@{_uri(call.name)}" if call.name else tag


def call_content(call: Call) -> list[Any] | dict[str, Any]:
    """The arguments of `call` as the YAML content that reads back as them."""
    reserved = {"latent_args": call.latent_args, "submodule_searchpath": call.submodule_searchpath}
    reserved = {key: value for key, value in reserved.items() if value is not None}
    if not call.kwargs and not reserved:
        return list(call.args)
    if any(key in ("args", "kwargs") or _POSITIONAL.fullmatch(key) for key in call.kwargs):
        explicit = {"args": list(call.args)} if call.args else {}
        return {**explicit, "kwargs": {**call.kwargs, **reserved}}
    return {**{f"arg{index}": value for index, value in enumerate(call.args)}, **call.kwargs, **reserved}


def _uri(text: str) -> str:
    return quote(text, safe="-;/?:@&=+$_.~*'()")


def scalar(value: object) -> str:
    """A scalar as YAML 1.1 text that resolves to the same value and type. Raises `GraphError` for anything else."""
    match value:
        case None:
            return "null"
        case bool():
            return "true" if value else "false"
        case int():
            return str(value)
        case float():
            return _float(value)
        case str():
            return _string(value)
    raise GraphError(
        f"a value of type {type(value).__name__} cannot be written as YAML: {value!r}",
        help="values are null, bool, int, float, str, lists, mappings and nodes; write a tuple as !tuple",
    )


def _float(value: float) -> str:
    if math.isnan(value):
        return ".nan"
    if math.isinf(value):
        return ".inf" if value > 0 else "-.inf"
    mantissa, exponent, power = repr(value).partition("e")
    # YAML 1.1 reads 1e-08 as a string: a float needs its dot.
    return f"{mantissa if '.' in mantissa else mantissa + '.0'}{exponent}{power}"


def _string(value: str) -> str:
    if _PLAIN.fullmatch(value) and _RESOLVER.resolve(ScalarNode, value, (True, False)) == "tag:yaml.org,2002:str":
        return value
    quoted = "".join(_character(character) for character in value)
    # Kept away from the template passes: '##' would start a comment, '{{' '{%' '{#' a Jinja tag.
    quoted = re.sub(r"(?<=#)#", r"\\x23", quoted)
    return '"' + re.sub(r"\{(?=[{%#])", r"\\x7b", quoted) + '"'


def _character(character: str) -> str:
    if character in _ESCAPES:
        return _ESCAPES[character]
    if character.isprintable():
        return character
    code = ord(character)
    if 0xD800 <= code <= 0xDFFF:
        raise GraphError(f"a string with the lone surrogate U+{code:04X} cannot be written as YAML")
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
