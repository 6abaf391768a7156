"""The verbs that work on configs; each has a module here with `configure(parser)` and `run(args)`.

Only `construct` builds; `code` runs `!meta` nodes, whose result is source. All others, and `code` of a target without
such a node, neither import nor call anything a config names.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from importlib import import_module
from typing import Any, Final

from fg_config.command_line import add_dynamic_arguments, add_override_options, add_project_options

VERBS: dict[str, str] = {
    "ls": "list the configs of a project",
    "index": "print a project on one page: README, record, configs",
    "meta": "print a project's record and where its templates are searched",
    "project": "print the project directory; create a project or a config",
    "ws": "print the workspace directory; create a workspace",
    "tlist": "list every template that a project can see",
    "pp": "print a config after templates, before YAML is read",
    "targets": "list what a config can build",
    "graph": "print the node graph of a config",
    "code": "print a target as Python source",
    "trefs": "list the templates a config is made of",
    "explain": "tell where a value of a config comes from",
    "diff": "tell what differs between two configs, commits or runs",
    "sweep": "try every combination of some values",
    "check": "find mistakes and doubtful places without running anything",
    "lint": "the same as check",
    "construct": "build a target and print it",
    "imports": "list what building a target would import, and what would be refused",
    "trust": "trust a directory: its configs are built without import policy",
    "editor": "write syntax highlighting for an editor",
    "schema": "print what a record, a flag or a target may hold, as JSON Schema",
}

# Verbs that take the flags a config declares.
DYNAMIC: Final = frozenset({"pp", "graph", "code", "construct", "explain", "imports", "diff", "sweep"})
# Verbs with `--set`.
_OVERRIDABLE: Final = frozenset({"graph", "targets", "code", "construct", "explain", "diff", "sweep", "imports"})

# Verbs that can do without the selected config, when they are told what else to work on.
_OF_OTHER_CONFIGS: Final = frozenset({"diff"})

# Verbs that look at a project or workspace as a whole, whichever config is chosen.
OF_PROJECTS: Final = frozenset({"ls", "index", "meta", "project", "ws", "tlist"})

SAVED_RUN: Final = "--run"  # of `explain`: a saved run takes the place of the config
_WITHOUT_PROJECT: Final = frozenset({"trust"})
_SAME: Final = {"lint": "check"}  # verbs that are another name of one


def configure(verb: str, parser: argparse.ArgumentParser, argv: Sequence[str]) -> None:
    """Add the flags of `verb`; `argv` selects the config whose dynamic arguments become flags."""
    if verb not in _WITHOUT_PROJECT:
        add_project_options(parser)
    parser.set_defaults(current_verb=verb)
    _module(verb).configure(parser)
    if verb in _OVERRIDABLE:
        add_override_options(parser)
    of_saved_run = verb == "explain" and any(word.partition("=")[0] == SAVED_RUN for word in argv)
    if verb in DYNAMIC and not of_saved_run:
        add_dynamic_arguments(parser, argv, optional=verb in _OF_OTHER_CONFIGS)


def run(verb: str, args: argparse.Namespace) -> int:
    """Run `verb` and return the exit code."""
    return _module(verb).run(args)


def _module(verb: str) -> Any:
    return import_module(f"{__name__}.{_SAME.get(verb, verb)}")
