"""The verbs of this distribution: `train` and `tb`."""

from __future__ import annotations

import argparse
import json
import logging
import os
import shlex
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from fg_trainers.errors import LaunchError

VERBS = {
    "train": "train what a config describes",
    "tb": "show the runs of a model in TensorBoard",
}


def configure(verb: str, parser: argparse.ArgumentParser, argv: Sequence[str]) -> None:
    """Add the flags of a verb, and those that the chosen config declares."""
    from fg_config.command_line import add_dynamic_arguments, add_override_options, add_project_options
    from fg_config.commands.policy_options import add_policy_options

    add_project_options(parser)
    add_override_options(parser)
    parser.add_argument("--dry-run", action="store_true", help="print the command and stop")
    if verb == "train" and "--dry-run" not in argv:
        logging.getLogger("fg_config").setLevel(logging.ERROR)  # the run itself gives the config's warnings
    other = "torchrun" if verb == "train" else "TensorBoard"
    parser.add_argument("rest", nargs="*", metavar="-- ARG", help=f"arguments for {other}")
    parser.set_defaults(behind_separator=argv[argv.index("--") + 1 :] if "--" in argv else [], other=other)
    if verb == "train":
        add_policy_options(parser)
        parser.add_argument("-d", "--devices", metavar="LIST", help="CUDA_VISIBLE_DEVICES of the run, for example 0,1")
    else:
        parser.add_argument("--all", action="store_true", help="all models of the project, not only this config's")
    add_dynamic_arguments(parser, argv)


def run(verb: str, args: argparse.Namespace) -> int:
    """Run a verb; returns the exit code.

    Raises:
        LaunchError: a word stands where only flags may stand.
    """
    if args.rest != list(args.behind_separator):
        stray = next(word for word in args.rest if word not in args.behind_separator)
        raise LaunchError(
            f"unexpected word {stray!r}; a config is chosen with -t NAME, arguments for {args.other} stand behind --"
        )
    return _train(args) if verb == "train" else _tensorboard(args)


def _train(args: argparse.Namespace) -> int:
    from fg_config.command_line import given_dynamic_arguments, selected_project
    from fg_config.commands.policy_options import policy_words, under_policy
    from fg_config.projects.policies import check_environment

    project = selected_project(args)
    environment = {"CUDA_VISIBLE_DEVICES": args.devices} if args.devices is not None else {}
    with under_policy(args, project) as policy:
        meta = project("meta")
        if "env" in project.graph.targets:
            environment |= {key: str(value) for key, value in project("env").items()}
            check_environment(policy, environment, project.graph)
    command = _command(project, meta, given_dynamic_arguments(args), args.rest, policy_words(args))
    return _execute(command, environment, dry_run=args.dry_run)


def _command(
    project: Any,
    meta: Mapping[str, Any],
    dynamic_args: Mapping[str, Any],
    rest: Sequence[str],
    options: Sequence[str],
) -> list[str]:
    """The command of one node. A single process needs no launcher; starting one costs seconds and hides signals."""
    processes = meta.get("nproc_per_node", 1)
    launch = ["fg_trainers.launch", "-p", str(project.project_dir)]
    if dynamic_args:
        launch += ["--dynamic-args", json.dumps(dict(dynamic_args))]
    launch += [word for override in project.overrides for word in override.words]
    launch += options
    launch.append(project.config_name)
    if processes == 1 and not rest:
        return [sys.executable, "-m", *launch]
    torchrun_args = list(rest) or ["--standalone", "--nproc-per-node", str(processes)]
    return [sys.executable, "-m", "torch.distributed.run", *torchrun_args, "-m", *launch]


def _tensorboard(args: argparse.Namespace) -> int:
    from fg_config.command_line import selected_project

    meta = selected_project(args)("meta")
    directory = Path(meta["models_dir"] if args.all else meta["output_dir"])
    command = [sys.executable, "-m", "tensorboard.main", "--logdir", str(directory), *args.rest]
    return _execute(command, {}, dry_run=args.dry_run)


def _execute(command: Sequence[str], environment: Mapping[str, str], *, dry_run: bool) -> int:
    """Print the command, then become it: signals and exit codes are those of the run itself."""
    assignments = [f"{key}={shlex.quote(value)}" for key, value in environment.items()]
    print(" ".join([*assignments, shlex.join(command)]), flush=True)
    if dry_run:
        return 0
    if os.name == "posix":
        os.execve(command[0], list(command), {**os.environ, **environment})
    return subprocess.run(list(command), env={**os.environ, **environment}, check=False).returncode
