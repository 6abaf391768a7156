"""What `meta.yaml` and the target `dynamic_args` may hold, as JSON Schema.

Both describe rendered values. They agree with what is read: `projects.meta` and `projects.dynamic_args` accept without
a word exactly what these schemas accept, except for what only a look at other entries can tell.
"""

from __future__ import annotations

from typing import Any, Final

from fg_config.projects.dynamic_args import ACTIONS, CONVERTERS, COUNTS, FLAG

DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"
_TEXT: Final = {"type": ["string", "null"]}
_META_HELP: Final = {
    "config_prefix": "where configs stand in the search path (default: configs)",
    "default_config": "the config that is meant when none is named (default: the first)",
    "name": "shown by `ls`",
    "description": "shown by `ls`",
    "system_path": "directory that training puts on sys.path, relative to the project",
}


def meta_schema() -> dict[str, Any]:
    """The schema of a rendered `meta.yaml`."""
    directories = {
        "description": "template search path, in order; relative to the project (default: templates)",
        "anyOf": [{"type": "array", "items": {"type": "string"}}, _TEXT],
    }
    return {
        "$schema": DIALECT,
        "title": "A project record (meta.yaml)",
        "type": ["object", "null"],
        "properties": {
            "searchdir": directories,
            **{key: {"description": text, **_TEXT} for key, text in _META_HELP.items()},
        },
        # Keys that begin with a dot declare anchors and are gone after parsing.
        "patternProperties": {r"^\.": {}},
        "additionalProperties": False,
    }


def dynamic_args_schema() -> dict[str, Any]:
    """The schema of the target `dynamic_args`."""
    entry = {"anyOf": [{"$ref": "#/$defs/entry"}, {"type": "null"}]}
    return {
        "$schema": DIALECT,
        "title": "Command-line flags of a config (dynamic_args)",
        "anyOf": [
            {"type": "array", "items": entry},
            {"type": "object", "additionalProperties": entry},
            {"type": "null"},
        ],
        "$defs": {"entry": _entry()},
    }


def _entry() -> dict[str, Any]:
    flag = {"type": "string", "pattern": f"^{FLAG.pattern}$"}
    used = {"properties": {"action": {"const": "store_const"}}, "required": ["action"]}
    optional = {"properties": {"nargs": {"const": "?"}}, "required": ["nargs"]}
    return {
        "type": "object",
        "required": ["names"],
        "additionalProperties": False,
        "properties": {
            "names": {
                "description": "the flag, or a list of flags; the first long one names the template variable",
                "anyOf": [flag, {"type": "array", "items": flag, "minItems": 1}],
            },
            "type": {"description": "of the value (default: str)", "enum": [*CONVERTERS, None]},
            "choices": {"description": "the values that are accepted", "type": ["array", "null"]},
            "default": {"description": "not used: the template's default() rules"},
            "action": {"enum": [*ACTIONS, None]},
            "nargs": {"anyOf": [{"type": "integer", "minimum": 1}, {"enum": [*COUNTS, None]}]},
            "metavar": {"description": "name of the value in --help", **_TEXT},
            "help": {"description": "line of --help", **_TEXT},
            "const": {"description": "value of the flag without a word behind it"},
            "required": {"type": ["boolean", "null"]},
            "dest": {"description": "the template variable, if not that of the flag", **_TEXT},
        },
        "if": {"required": ["const"], "properties": {"const": {"not": {"type": "null"}}}},
        "then": {"anyOf": [used, optional]},
    }
