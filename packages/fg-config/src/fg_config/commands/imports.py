"""`imports`: what building a target would import, and whether the import policy lets it."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from fg_config.command_line import EXIT_PROBLEMS, selected_project
from fg_config.commands.output import add_json, add_output, add_target, as_json, emit
from fg_config.commands.policy_options import add_policy_options, selected_policy

if TYPE_CHECKING:
    from fg_config.projects.imported_names import ImportedName

_COLUMNS = ("finding", "name", "distribution", "where", "why")


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the flags of the verb."""
    add_output(parser)
    add_target(parser)
    add_json(parser)
    add_policy_options(parser)


def run(args: argparse.Namespace) -> int:
    """Print one line per name and place; the exit code tells whether something would be refused."""
    from fg_config.projects.imported_names import imported_names

    project = selected_project(args)
    names = imported_names(project, args.target, selected_policy(args, project))
    emit(as_json([_record(name) for name in names]) if args.json else _table(names), args)
    return EXIT_PROBLEMS if any(name.would_fail for name in names) else 0


def _record(name: ImportedName) -> dict[str, Any]:
    return {
        "spec": name.spec,
        "module": name.module,
        "symbol": name.symbol,
        "file": name.span.file,
        "line": name.span.line,
        "distribution": name.distribution,
        "finding": name.finding,
        "reason": name.reason,
    }


def _table(names: Sequence[ImportedName]) -> str:
    if not names:
        return "nothing is imported"
    rows = [(each.finding, each.spec, each.distribution or "-", str(each.span), each.reason) for each in names]
    widths = [max(map(len, column)) for column in zip(_COLUMNS, *rows, strict=True)]
    lines = ("  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)) for row in (_COLUMNS, *rows))
    return "\n".join(line.rstrip() for line in lines)
