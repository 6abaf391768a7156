"""The arguments of a target as JSON Schema, made from the signature of what it calls."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from fg_config.errors import GraphError
from fg_config.nodes import Call
from fg_config.tagged import tagged_content

if TYPE_CHECKING:
    from fg_config.building.policy import ImportPolicy
    from fg_config.building.signatures import Parameter, Signature
    from fg_config.graph import Graph

_CODE: Final = "FG0520"
_POSITION: Final = r"^arg\d+$"
_RESERVED: Final = {
    "submodule_searchpath": {"description": "directories that the file of the spec may import siblings from"},
    "latent_args": {"description": "a mapping that is merged over the other arguments when the node is built"},
}


def target_schema(graph: Graph, target: str, policy: ImportPolicy | None = None) -> dict[str, Any]:
    """The schema of the argument mapping of the node at `target`, which may be a path such as `optimizer.factory`.

    Another process imports what the node names. Raises `GraphError` when the node calls nothing, and when there is
    no signature.
    """
    from fg_config.building.signatures import Signature, requests_of, signatures_of

    node = graph.target(target) if target in graph.targets else graph.at(target)
    if not isinstance(node, Call) or tagged_content(node) is not None:
        help = "name a node with !call, !factory or !partial; `graph` shows them"
        raise GraphError(f"{target!r} calls nothing", code=_CODE, span=graph.span(target), help=help)
    request = next(requests_of([(node.spec, node.submodule_searchpath)]))
    found = signatures_of([request], policy, graph.directory)[node.spec]
    if not isinstance(found, Signature):
        message = f"the arguments of {node.spec!r} are not known: {found.message}"
        raise GraphError(message, code=_CODE, span=node.span)
    return arguments_schema(found, late=node.kind == "partial")


def arguments_schema(signature: Signature, *, late: bool = False) -> dict[str, Any]:
    """The schema for plain values of the arguments; `late` when missing ones may still come with a call."""
    from fg_config.schema.records import DIALECT

    properties = {name: _property(each) for name, each in signature.by_keyword.items()}
    schema: dict[str, Any] = {
        "$schema": DIALECT,
        "title": signature.spec,
        "type": "object",
        "properties": {**_RESERVED, **properties},
    }
    if signature.summary:
        schema["description"] = signature.summary
    if signature.deprecated is not None:
        schema["deprecated"] = True
    if signature.positional or signature.any_position:
        anything: dict[str, Any] = {}
        schema["patternProperties"] = {_POSITION: anything}
        schema["properties"] |= {name: {"type": "array"} for name in ("args",) if name not in properties}
    if not signature.any_keyword:
        schema["additionalProperties"] = False
    return schema if late else schema | _required(signature)


def _property(parameter: Parameter) -> dict[str, Any]:
    """The schema of one argument, with its default and the annotation as the author wrote it."""
    described: dict[str, Any] = dict(parameter.schema)
    if parameter.annotation:
        described["description"] = parameter.annotation
    if parameter.default is not None or parameter.default_text == "None":
        described["default"] = parameter.default
    elif parameter.default_text is not None:
        described["description"] = f"{parameter.annotation or ''} = {parameter.default_text}".strip()
    return described


def _required(signature: Signature) -> dict[str, Any]:
    """What must be there. Arguments given by position may stand under `args` or `arg0`, `arg1` … instead."""
    by_keyword = [each.name for each in signature.parameters if each.kind == "keyword_only" and not each.has_default]
    by_position = [each.name for each in signature.positional if not each.has_default]
    result: dict[str, Any] = {"required": by_keyword} if by_keyword else {}
    if by_position and all(each.kind == "positional" for each in signature.positional):
        result["anyOf"] = [{"required": by_position}, {"required": ["args"]}, {"required": ["arg0"]}]
    elif by_position:
        result["anyOf"] = [{"required": ["args"]}, {"required": ["arg0"]}]
    return result
