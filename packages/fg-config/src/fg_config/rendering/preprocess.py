"""The shorthand above Jinja2: line statements (`-- if x`), comments (`## why`) and block headers (`[trainer_args]`).

Both passes keep the number of lines, so line N of the result is line N of the template.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

_COMMENT: Final = re.compile(r"\s*##(.*)")
_TRAILING_COMMENT: Final = re.compile(r"(.*)\s+#{2,}.*")
OPERATOR: Final = re.compile(r"\s*(--|<<|>>|==|=>)\s(.*)")
_REWRITE: Final = {
    "--": "{{% {} %}}",
    "<<": "{{%- {} %}}",
    ">>": "{{% {} -%}}",
    "==": "{{{{ {} }}}}",
    "=>": "{{{{ {}|trim('\\n')}}}}",
}
NEWLINE: Final = re.compile(r"\r\n|\r|\n")
HEADER: Final = re.compile(r"(\s*)\[(\w+)([!])*\]\s*")
_EXPLICIT_ONLY: Final = re.compile(r"(\s*)(?:--|<<|>>)\s+block\s+(\w+)\s.*\b(?:required|scoped)\b.*")


def preprocess(text: str) -> str:
    """Turn the shorthand of one template into plain Jinja2."""
    lines = NEWLINE.split(text)
    # A newline at the end of the text does not begin another line: blocks close on the last line with text.
    ending = "\n" if len(lines) > 1 and lines[-1] == "" else ""
    if ending:
        lines.pop()
    return "\n".join(_block_pass([_rewrite_line(line) for line in lines])) + ending


def _rewrite_line(line: str) -> str:
    if comment := _COMMENT.fullmatch(line):
        # A '#}' inside would end the Jinja comment early, and '{#-' would strip the line break before it.
        return "{# " + comment[1].replace("#}", "# }") + " #}"
    if commented := _TRAILING_COMMENT.fullmatch(line):
        line = commented[1]
    if statement := OPERATOR.fullmatch(line):
        return _REWRITE[statement[1]].format(statement[2])
    return line


def _block_pass(lines: list[str]) -> list[str]:
    """Replace `[name]` headers by blocks. A block ends at the next header that is not deeper, or with the text."""
    result: list[str] = []
    open_blocks: list[tuple[int, str, bool]] = []
    for line in lines:
        header = HEADER.fullmatch(line)
        if header is None:
            result.append(line)
            continue
        indent, name, trimmed = len(header[1]), header[2], header[3] is not None
        _close_blocks(result, open_blocks, indent)
        open_blocks.append((indent, name, trimmed))
        result.append("{% filter trim %}" * trimmed + f"{{% block {name} %}}")
    _close_blocks(result, open_blocks, 0)
    return result


def _close_blocks(result: list[str], open_blocks: list[tuple[int, str, bool]], indent: int) -> None:
    """Close every open block at `indent` or deeper, at the end of the last line written."""
    while open_blocks and open_blocks[-1][0] >= indent:
        _, name, trimmed = open_blocks.pop()
        newline = "{{'\\n'}}" if result[-1] else ""
        result[-1] += f"{newline}{{% endblock {name} +%}}" + "{% endfilter %}" * trimmed


def swallowed_blocks(text: str) -> Iterator[tuple[int, str, str]]:
    """`required` and `scoped` blocks that stand beside a `[name]` header but end up inside its block.

    Only these must be written in full, so only they get between headers. Gives the line (from 1), the block, and the
    block of the header. One that is indented deeper than the header is meant to be inside.
    """
    open_headers: list[tuple[int, str]] = []
    for number, line in enumerate(NEWLINE.split(text), 1):
        if header := HEADER.fullmatch(_rewrite_line(line)):
            indent = len(header[1])
            open_headers = [*(outer for outer in open_headers if outer[0] < indent), (indent, header[2])]
        elif open_headers and (explicit := _EXPLICIT_ONLY.fullmatch(line)) and len(explicit[1]) <= open_headers[-1][0]:
            yield number, explicit[2], open_headers[-1][1]
