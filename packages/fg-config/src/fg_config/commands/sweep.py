"""`sweep`: every combination of some values, as a table, as commands, or trained one after the other."""

from __future__ import annotations

import argparse
import importlib.util
import shlex
import subprocess
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

from fg_config.command_line import EXIT_INTERRUPTED, selected_project
from fg_config.commands.output import add_output, as_json, emit
from fg_config.errors import ProjectError

if TYPE_CHECKING:
    from fg_config.changes.sweep import Sweep, SweepRow

_FORMATS: Final = ("table", "commands", "json")


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the flags of the verb."""
    parser.description = (
        "Every combination of the values of AXIS…, compared with the config as it is. NAME=A,B sets the flag --NAME of "
        "the config if it declares one; PATH=A,B changes that value of the graph, like --set. Commas inside brackets "
        "and quotes do not separate. Flags and --set hold for all combinations. Each gets its own output directory: "
        "that of the config with the combination appended."
    )
    add_output(parser)
    parser.add_argument("axes", nargs="+", metavar="AXIS", help="NAME=VALUE,VALUE… or PATH=VALUE,VALUE…")
    parser.add_argument("--format", choices=_FORMATS, default="table", help="default: table; commands: one per line")
    parser.add_argument("--json", dest="format", action="store_const", const="json", help="same as --format json")
    parser.add_argument("--run", action="store_true", help="train one combination after the other, up to a failure")


def run(args: argparse.Namespace) -> int:
    """Print the combinations, or run them and return the exit code of the one that failed."""
    from fg_config.changes.sweep import Sweep

    sweep = Sweep(selected_project(args), args.axes)
    rows = list(sweep.rows())
    if args.run:
        if args.output is not None or args.edit or args.format != "table":
            message = "--run prints what the runs print, which -o, -e and --format do not change"
            raise ProjectError(message, code="FG0656", help="call sweep once more without --run for the table")
        return _run_all(sweep, rows)
    match args.format:
        case "commands":
            return emit("\n".join(shlex.join(["forgather", *_words(sweep, row)]) for row in rows), args)
        case "json":
            return emit(as_json([_data(sweep, row) for row in rows]), args)
    from fg_config.changes.sweep_table import table

    return emit(table(rows, sweep.output_dir), args)


def _words(sweep: Sweep, row: SweepRow) -> list[str]:
    project = sweep.project
    return ["train", "-p", str(project.project_dir), "-t", project.config_name, *row.train_words]


def _data(sweep: Sweep, row: SweepRow) -> dict[str, Any]:
    from fg_config.changes.diff_text import as_data

    return {
        "name": row.name,
        "dynamic_args": dict(row.variables),
        "overrides": [override.words for override in row.overrides],
        "output_dir": row.output_dir,
        "command": ["forgather", *_words(sweep, row)],
        **as_data(row.difference),
    }


# --- running ------------------------------------------------------------------------------------------------------


def _run_all(sweep: Sweep, rows: Sequence[SweepRow]) -> int:
    """Train the rows one after the other. Ctrl-C reaches the run, which saves; the sweep waits for it and ends."""
    if importlib.util.find_spec("fg_trainers") is None:
        raise ProjectError("training needs fg-trainers", code="FG0654", help="pip install fg-trainers")
    for number, row in enumerate(rows, 1):
        print(f"[{number}/{len(rows)}] {row.name}", flush=True)
        code, interrupted = _wait(subprocess.Popen([sys.executable, "-m", "fg_trainers", *_words(sweep, row)]))
        if interrupted or code:
            done = f"{number - 1} of {len(rows)} done"
            print(
                f"{row.name} {'was interrupted' if interrupted else f'ended with exit code {code}'}; {done}", flush=True
            )
            return EXIT_INTERRUPTED if interrupted else code
    print(f"{len(rows)} of {len(rows)} done", flush=True)
    return 0


def _wait(process: subprocess.Popen[bytes]) -> tuple[int, bool]:
    """The exit code, and whether Ctrl-C was pressed meanwhile (the process has heard it, too)."""
    interrupted = False
    while True:
        try:
            code = process.wait()
            return (code if code >= 0 else 128 - code), interrupted
        except KeyboardInterrupt:
            interrupted = True
