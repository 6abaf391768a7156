"""One rank of a run, alone or under torchrun:

    python -m fg_trainers.launch -p PROJECT [--dynamic-args JSON] [--set PATH=VALUE]… CONFIG

Exit codes: 0 done, 1 a defect (with its traceback), 2 something the user can mend (one message), 128 + n stopped by
signal n after saving.
"""

from __future__ import annotations

import argparse
import faulthandler
import json
import logging
import os
import signal
import sys
from collections.abc import Sequence
from typing import Any

from fg_config import GraphError, Project, save_run_record
from fg_config.command_line import add_override_options, given_overrides, reporting_errors
from fg_config.commands.policy_options import add_policy_options, under_policy
from fg_trainers.errors import LaunchError


def main(argv: Sequence[str] | None = None) -> int:
    """Build the config's `main` target and run it; returns the exit code."""
    args = _parser().parse_args(argv)
    # A hung rank can be asked where it is: SIGUSR1 prints all stacks and does not end the process.
    faulthandler.enable()
    faulthandler.register(signal.SIGUSR1)
    # Until there is something to save, Ctrl-C just ends the process: an exception in the middle of an import of torch
    # aborts it. The trainer installs handlers of its own.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    logging.basicConfig(level=args.log_level, format="%(message)s", stream=sys.stderr)
    for handler in logging.getLogger().handlers:
        handler.addFilter(lambda record: record.name.startswith("fg_") or record.levelno >= logging.WARNING)
    return reporting_errors(lambda: _run(args))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m fg_trainers.launch", description=__doc__, allow_abbrev=False)
    parser.add_argument("-p", "--project-dir", default=".", help="the project")
    parser.add_argument("--dynamic-args", default="{}", metavar="JSON", help="template variables of the config")
    add_override_options(parser)
    add_policy_options(parser)
    parser.add_argument("--log-level", default="INFO", choices=["DEBUG", "INFO", "WARNING", "ERROR"])
    parser.add_argument("config", nargs="?", default="", help="config name; default: the project's default")
    return parser


def _run(args: argparse.Namespace) -> int:
    _require_one_process()
    project = Project(args.config, args.project_dir, overrides=given_overrides(args), **json.loads(args.dynamic_args))
    with under_policy(args, project):
        script = project("main")
    if not hasattr(script, "run"):
        raise _no_training(script, project)
    _write_record(script, project)
    output = script.run()
    stopped_by = getattr(output, "interrupted_by", None)
    return 0 if stopped_by is None else 128 + stopped_by


def _no_training(built: Any, project: Project) -> GraphError:
    """The config is of another kind."""
    help = (
        "`forgather construct` builds and shows it; a config to train has the target "
        "`main: !call:fg_trainers:TrainingScript`, or extends a template that does: 'projects/lm_training_project.yaml'"
    )
    kind = f"something of type {type(built).__name__}"
    message = f"{project.config_name!r} is no training config: its target 'main' builds {kind}, without run()"
    return GraphError(message, code="FG0480", span=project.graph.span("main"), help=help)


def _require_one_process() -> None:
    world_size = int(os.environ.get("WORLD_SIZE", "1"))
    if world_size > 1:
        raise LaunchError(f"{world_size} processes were started, but this trainer runs in one: set nproc_per_node to 1")


def _write_record(script: Any, project: Project) -> None:
    """Keep what this run was, beside its logs."""
    trainer = getattr(script, "trainer", None)
    if trainer is not None and os.environ.get("RANK", "0") == "0":
        save_run_record(project, trainer.args.run_dir)


if __name__ == "__main__":
    sys.exit(main())
