"""The table of tokens: what a template looks like to an editor.

Everything about highlighting is generated from here: the TextMate grammar, the Vim syntax, `tokens.json`, and the
tokenizer. Rules stand in groups, the first that matches at the earliest place wins, and a region switches to another
group until its end. Patterns keep to what Python, Oniguruma and Vim share; see `editors.vim` for the subset.

The line rules come first because the preprocessor is blind to context: `## …`, `-- …` and `[name]` mean what they
mean inside YAML strings and block scalars too.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, TypeAlias


@dataclass(frozen=True, slots=True, kw_only=True)
class Token:
    """A class of tokens: its scope in TextMate grammars and the Vim group it is linked to."""

    scope: str
    vim: str


Parts: TypeAlias = tuple[tuple[str, str | None], ...]
"""Adjacent pieces of one line: (pattern without capturing groups, name of a token or None)."""


@dataclass(frozen=True, slots=True)
class Match:
    """Tokens that stand together on one line."""

    parts: Parts


@dataclass(frozen=True, slots=True, kw_only=True)
class Region:
    """From `begin` to `end`; what is between is `token` unless a rule of the group `inside` finds something."""

    begin: Parts
    end: Parts
    inside: str
    token: str | None = None


Rule: TypeAlias = Match | Region

TOKENS: Final[Mapping[str, Token]] = {
    "comment": Token(scope="comment.line.number-sign", vim="Comment"),
    "marker": Token(scope="punctuation.definition.section", vim="PreProc"),
    "label": Token(scope="entity.name.section", vim="Title"),
    "bracket": Token(scope="punctuation.section.block", vim="Delimiter"),
    "block": Token(scope="entity.name.function.block", vim="Function"),
    "trim": Token(scope="keyword.operator.trim", vim="Special"),
    "operator": Token(scope="keyword.control.line", vim="PreProc"),
    "delimiter": Token(scope="punctuation.definition.template", vim="PreProc"),
    "keyword": Token(scope="keyword.control.template", vim="Statement"),
    "word_operator": Token(scope="keyword.operator.word", vim="Operator"),
    "function": Token(scope="support.function", vim="Function"),
    "filter": Token(scope="entity.name.function.filter", vim="Function"),
    "variable": Token(scope="variable.other", vim="Identifier"),
    "namespace": Token(scope="variable.language.namespace", vim="Special"),
    "constant": Token(scope="constant.language", vim="Boolean"),
    "number": Token(scope="constant.numeric", vim="Number"),
    "string": Token(scope="string.quoted", vim="String"),
    "escape": Token(scope="constant.character.escape", vim="SpecialChar"),
    "text": Token(scope="string.unquoted", vim="String"),
    "key": Token(scope="entity.name.tag", vim="Identifier"),
    "punctuation": Token(scope="punctuation.separator", vim="Delimiter"),
    "merge": Token(scope="keyword.operator.merge", vim="Operator"),
    "tag": Token(scope="storage.type.tag", vim="Type"),
    "module": Token(scope="entity.name.namespace", vim="Include"),
    "symbol": Token(scope="entity.name.type", vim="Structure"),
    "node_name": Token(scope="entity.name.label", vim="Label"),
    "unknown_tag": Token(scope="invalid.illegal.tag", vim="Error"),
    "anchor": Token(scope="entity.name.reference.anchor", vim="Label"),
    "alias": Token(scope="variable.other.alias", vim="Identifier"),
    "block_scalar": Token(scope="keyword.control.block-scalar", vim="Special"),
}

KEYWORDS: Final = (
    *("set", "endset", "if", "elif", "else", "endif", "for", "endfor", "in", "recursive"),
    *("extends", "include", "import", "from", "as", "ignore", "missing", "without", "context"),
    *("block", "endblock", "required", "scoped", "macro", "endmacro", "call", "endcall"),
    *("filter", "endfilter", "with", "endwith", "raw", "endraw", "autoescape", "endautoescape"),
)
WORD_OPERATORS: Final = ("and", "or", "not", "is")
CONSTANTS: Final = ("true", "false", "none", "True", "False", "None")
FUNCTIONS: Final = (
    *("now", "utcnow", "isotime", "utcisotime", "filetime", "utcfiletime"),
    *("abspath", "relpath", "dirname", "basename", "splitext", "joinpath", "normpath", "modname_from_path"),
    *("user_data_dir", "user_cache_dir", "user_config_dir", "site_data_dir", "site_config_dir"),
    *("repr", "user_home_dir", "getcwd", "forgather_config_dir"),
    *("super", "range", "dict", "lipsum", "cycler", "joiner", "namespace"),
)
VARIABLES: Final = ("ns", "project_dir", "workspace_root", "hostname", "uname", "versions", "loop", "self")
CALL_TAGS: Final = ("call", "singleton", "factory", "partial", "lambda", "meta")
CONTAINER_TAGS: Final = ("list", "tuple", "dict", "dlist")

# --- pieces of patterns ---------------------------------------------------------------------------------------------

# Only the last blank followed by `##` begins a comment.
_LAST = r"#{2,}(?!.*\s#{2})"
# A value begins behind a blank or a bracket, and ends before a blank and `#`, a comma, a bracket, or with the line.
_BEGINS = r"(?<![^\s{,\[])"
_ENDS = r"(?=\s*$|\s*[,\]}]|\s+#)"
_PLAIN_FIRST = r"(?:[^\s&*!|>%@`\"'\[\]{},:#?-]|[-?:](?=[^\s,\[\]{}]))"
_PLAIN_REST = r"(?:[^\s\[\]{},:]|:(?=[^\s,\[\]{}]))*"
_PLAIN_WORDS = r"(?:[ \t]+(?:[^\s\[\]{},:#]|:(?=[^\s,\[\]{}]))(?:[^\s\[\]{},:]|:(?=[^\s,\[\]{}]))*)*"
_PLAIN = _PLAIN_FIRST + _PLAIN_REST + _PLAIN_WORDS
_INTEGER = r"[-+]?(?:0b[01_]+|0x[0-9a-fA-F_]+|0[0-7_]+|0|[1-9][0-9_]*(?::[0-5]?[0-9])*)"
_FLOAT = (
    r"(?:[-+]?[0-9][0-9_]*\.[0-9_]*(?:[eE][-+][0-9]+)?|\.[0-9][0-9_]*(?:[eE][-+][0-9]+)?"
    r"|[-+]?[0-9][0-9_]*(?::[0-5]?[0-9])+\.[0-9_]*|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN))"
)
_YAML_CONSTANT = r"(?:yes|Yes|YES|no|No|NO|true|True|TRUE|false|False|FALSE|on|On|ON|off|Off|OFF|null|Null|NULL|~)"
_CALL = rf"{_BEGINS}!(?:{'|'.join(CALL_TAGS)})"
_CONTAINER = rf"{_BEGINS}!(?:{'|'.join(CONTAINER_TAGS)})"
_TAG_ENDS = r"(?=\s|$)"
_MODULE = r"[^\s@{]+"
_SYMBOL = r"[\w.]+"
_STRING_END = ((r'(?:"|$)', "string"),)
_TEXT_END = ((r"(?:'|$)", "string"),)
_YAML_TEXT_END = ((r"(?:'(?!')|$)", "string"),)


def _words(names: tuple[str, ...]) -> str:
    return rf"\b(?:{'|'.join(names)})\b"


def _one(pattern: str, token: str) -> Match:
    return Match(((pattern, token),))


# --- groups ---------------------------------------------------------------------------------------------------------

_HEADER_ENDS = rf"\](?=\s*$|\s+{_LAST})"

_LINES: Final[tuple[Rule, ...]] = (
    Match(((r"^\s*", None), (r"##.*$", "comment"))),
    Match(((r"^#\s*-{3,}\s*", "marker"), (r"[\w./]+", "label"), (r"\s*-{3,}$", "marker"))),
    Match(((r"^\s*", None), (r"\[", "bracket"), (r"\w+", "block"), (_HEADER_ENDS, "bracket"))),
    Match(((r"^\s*", None), (r"\[", "bracket"), (r"\w+", "block"), (r"!+", "trim"), (_HEADER_ENDS, "bracket"))),
    Region(
        begin=((r"^\s*", None), (r"(?:--|<<|>>|==|=>)", "operator"), (rf"\s(?!{_LAST})", None)),
        end=((r"$", None),),
        inside="template",
    ),
)

_TRAILING_COMMENT: Final[tuple[Rule, ...]] = (Match(((r"\s+", None), (_LAST + r".*$", "comment"))),)

_DELIMITERS: Final[tuple[Rule, ...]] = (
    Region(begin=((r"\{#", "comment"),), end=((r"#\}", "comment"),), inside="comment", token="comment"),
    Region(begin=((r"\{\{[-+]?", "delimiter"),), end=((r"[-+]?\}\}", "delimiter"),), inside="template"),
    Region(begin=((r"\{%[-+]?", "delimiter"),), end=((r"[-+]?%\}", "delimiter"),), inside="template"),
)

_EXPRESSIONS: Final[tuple[Rule, ...]] = (
    Region(begin=((r'"', "string"),), end=_STRING_END, inside="code_string", token="string"),
    Region(begin=((r"'", "string"),), end=_TEXT_END, inside="code_string", token="string"),
    Match(((r"\|\s*", "punctuation"), (r"[A-Za-z_]\w*", "filter"))),
    Match(((r"\.", "punctuation"), (r"[A-Za-z_]\w*", "variable"))),
    Match(((r"\b(?:block|endblock)", "keyword"), (r"\s+", None), (r"\w+", "block"))),
    _one(_words(KEYWORDS), "keyword"),
    _one(_words(WORD_OPERATORS), "word_operator"),
    _one(_words(CONSTANTS), "constant"),
    _one(_words(FUNCTIONS) + r"(?=\s*\()", "function"),
    _one(_words(VARIABLES), "namespace"),
    _one(r"\b[0-9][0-9_]*(?:\.[0-9]+)?(?:[eE][-+]?[0-9]+)?\b", "number"),
    _one(r"\b[A-Za-z_]\w*", "variable"),
)

_CALL_PARTS: Final[tuple[Parts, ...]] = (
    ((_CALL, "tag"), (r":", "punctuation"), (_MODULE, "module"), (r":", "punctuation"), (_SYMBOL, "symbol")),
    ((_CALL, "tag"), (r":", "punctuation"), (_SYMBOL, "symbol")),
    ((_CONTAINER, "tag"), (r":", "punctuation")),
    ((_CONTAINER, "tag"),),
)

_TAGS: Final[tuple[Rule, ...]] = (
    *(Match((*parts, (r"@[^\s@]+", "node_name"), (_TAG_ENDS, None))) for parts in _CALL_PARTS),
    *(Match((*parts, (_TAG_ENDS, None))) for parts in _CALL_PARTS),
    Match(((_CALL, "tag"), (r":", "punctuation"), (r"(?=\S*\{\{)", None))),
    Match(((_BEGINS + r"!var", "tag"), (r"[ \t]+", None), (r"[\w.-]+", "variable"))),
    Match(((_BEGINS + r"!(?:var(?=\s)|!\w+)", "tag"),)),
    _one(_BEGINS + r"![^\s{]+", "unknown_tag"),
)

_VALUES: Final[tuple[Rule, ...]] = (
    Region(begin=((r"(?<!\S)#", "comment"),), end=((r"$", None),), inside="templates", token="comment"),
    Region(begin=((_BEGINS + r'"', "string"),), end=_STRING_END, inside="double_quoted", token="string"),
    Region(begin=((_BEGINS + r"'", "string"),), end=_YAML_TEXT_END, inside="single_quoted", token="string"),
    *_TAGS,
    _one(_BEGINS + r"&[\w-]+", "anchor"),
    _one(_BEGINS + r"\*[\w-]+", "alias"),
    _one(_BEGINS + r"<<(?=\s*:)", "merge"),
    _one(_BEGINS + _PLAIN + r"(?=\s*:(?:\s|$))", "key"),
    _one(_BEGINS + _YAML_CONSTANT + _ENDS, "constant"),
    _one(_BEGINS + _FLOAT + _ENDS, "number"),
    _one(_BEGINS + _INTEGER + _ENDS, "number"),
    _one(_BEGINS + r"[|>][-+0-9]*(?=\s*$|\s+#)", "block_scalar"),
    _one(_PLAIN, "text"),
    _one(r"(?:[-?:](?=\s|$)|[\[\]{},])", "punctuation"),
)

# A text instead of a rule includes the group of that name.
GROUPS: Final[Mapping[str, tuple[Rule | str, ...]]] = {
    "root": ("lines", "templates", "values"),
    "lines": _LINES,
    "templates": ("trailing_comment", "delimiters"),
    "trailing_comment": _TRAILING_COMMENT,
    "delimiters": _DELIMITERS,
    "template": ("trailing_comment", *_EXPRESSIONS),
    "comment": ("trailing_comment",),
    "values": _VALUES,
    "code_string": ("trailing_comment", _one(r"\\.", "escape")),
    "double_quoted": ("templates", _one(r"\\.", "escape")),
    "single_quoted": ("templates", _one(r"''", "escape")),
}


def rules_of(group: str) -> tuple[Rule, ...]:
    """The rules of a group in order, with those of the groups that it includes."""
    return tuple(rule for each in GROUPS[group] for rule in (rules_of(each) if isinstance(each, str) else (each,)))
