"""The table of tokens as a TextMate grammar, and the Visual Studio Code extension around it."""

from __future__ import annotations

from typing import Any, Final

from fg_config.__about__ import __version__
from fg_config.editors.tokens import GROUPS, TOKENS, Match, Parts, Rule

LANGUAGE: Final = "forgather"
SCOPE: Final = "source.forgather"
_EMBEDDED: Final = f"meta.embedded.{LANGUAGE}"
# Where templates stand by convention; everything else stays plain YAML.
FILE_PATTERNS: Final = ("**/templates/**/*.yaml", "**/forgather_workspace/**/*.yaml")


def grammar() -> dict[str, Any]:
    """The content of `forgather.tmLanguage.json`."""
    return {
        "$schema": "https://raw.githubusercontent.com/martinring/tmlanguage/master/tmlanguage.json",
        "name": "Forgather",
        "scopeName": SCOPE,
        "patterns": [{"include": "#root"}],
        "repository": {name: {"patterns": [_pattern(each) for each in rules]} for name, rules in GROUPS.items()},
    }


def _pattern(rule: Rule | str) -> dict[str, Any]:
    if isinstance(rule, str):
        return {"include": f"#{rule}"}
    if isinstance(rule, Match):
        return {"match": _regex(rule.parts), "captures": _captures(rule.parts)}
    region: dict[str, Any] = {
        "begin": _regex(rule.begin),
        "beginCaptures": _captures(rule.begin),
        "end": _regex(rule.end),
        "endCaptures": _captures(rule.end),
        "patterns": [{"include": f"#{rule.inside}"}],
    }
    # Themes take the colour of a string or comment away from what is embedded in it.
    return {"contentName": scope_of(rule.token) if rule.token else _EMBEDDED, **region}


def _regex(parts: Parts) -> str:
    return "".join(f"({pattern})" for pattern, _ in parts)


def _captures(parts: Parts) -> dict[str, dict[str, str]]:
    return {str(index): {"name": scope_of(name)} for index, (_, name) in enumerate(parts, 1) if name}


def scope_of(token: str) -> str:
    """The full scope of a token."""
    return f"{TOKENS[token].scope}.{LANGUAGE}"


def extension_manifest() -> dict[str, Any]:
    """The content of the extension's `package.json`."""
    return {
        "name": "forgather",
        "displayName": "Forgather",
        "description": "Syntax of Forgather templates and configs",
        "version": __version__,
        "publisher": "forgather",
        "engines": {"vscode": "^1.75.0"},
        "categories": ["Programming Languages"],
        "contributes": {
            "languages": [
                {
                    "id": LANGUAGE,
                    "aliases": ["Forgather", LANGUAGE],
                    "filenames": ["meta.yaml"],
                    "filenamePatterns": list(FILE_PATTERNS),
                    "configuration": "./language-configuration.json",
                }
            ],
            "grammars": [{"language": LANGUAGE, "scopeName": SCOPE, "path": "./syntaxes/forgather.tmLanguage.json"}],
        },
    }


def language_configuration() -> dict[str, Any]:
    """What the editor's comment, bracket and folding commands need."""
    pairs = [["{", "}"], ["[", "]"], ["(", ")"]]
    quotes = [['"', '"'], ["'", "'"]]
    return {
        "comments": {"lineComment": "##", "blockComment": ["{#", "#}"]},
        "brackets": pairs,
        "autoClosingPairs": [{"open": begin, "close": end} for begin, end in pairs + quotes],
        "surroundingPairs": pairs + quotes,
        "folding": {"offSide": True},
        "wordPattern": r"[\w.]+",
        "indentationRules": {
            "increaseIndentPattern": r"^\s*(\[\w+!*\]|.*:(\s+[&!]\S+)*)\s*$",
            "decreaseIndentPattern": r"^\s+[\]}],?\s*$",
        },
    }


def token_table() -> dict[str, Any]:
    """The table itself, for editors that colour by token names rather than by scopes: `tokens.json`."""
    return {
        "tokens": {name: {"scope": scope_of(name), "vim": token.vim} for name, token in TOKENS.items()},
        "start": "root",
        "groups": {name: [_rule(each) for each in rules] for name, rules in GROUPS.items()},
    }


def _rule(rule: Rule | str) -> dict[str, Any]:
    if isinstance(rule, str):
        return {"include": rule}
    if isinstance(rule, Match):
        return {"match": _listed(rule.parts)}
    return {"begin": _listed(rule.begin), "end": _listed(rule.end), "inside": rule.inside, "token": rule.token}


def _listed(parts: Parts) -> list[dict[str, str | None]]:
    return [{"pattern": pattern, "token": name} for pattern, name in parts]
