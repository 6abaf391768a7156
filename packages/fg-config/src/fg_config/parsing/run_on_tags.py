"""Tags that run into a comma or bracket, which the two YAML parsers read differently."""

from __future__ import annotations

import re
from typing import Final

import yaml

from fg_config.errors import YamlError
from fg_config.parsing.places import line_around, span_at

RUN_ON_TAG: Final = re.compile(r"(?:&\S+\s+)?(?P<tag>!\w[^\s,\[\]{}]*)(?P<next>[,\[\]{}])")


def run_on_tag(node: yaml.Node, text: str) -> re.Match[str] | None:
    """The tag of `node` when a comma or bracket follows it without a blank.

    The C parser ends such a tag before a comma, the one in Python makes the comma a part of it: `[!call:dict, 3]` is a
    list of two for one and a call of `dict,` for the other.
    """
    return RUN_ON_TAG.match(text, node.start_mark.index)


def run_on_tag_error(tag: re.Match[str], text: str) -> YamlError:
    """The same error whichever parser reads the text."""
    start = tag.start("tag")
    mark = yaml.Mark("", start, text.count("\n", 0, start), start - text.rfind("\n", 0, start) - 1, None, 0)
    message = f"YAML syntax: the tag {tag['tag']} runs into {tag['next']!r}"
    help = f"a tag ends at a blank: write `{tag['tag']} []`, with a blank before a bracket, brace or comma"
    return YamlError(message, span=span_at(mark, text), snippet=line_around(start, text), help=help)
