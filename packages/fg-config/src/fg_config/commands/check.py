"""`check`, also called `lint`: mistakes and doubtful places of configs, without running what they name."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from fg_config.command_line import EXIT_PROBLEMS, CommandParser
from fg_config.commands.output import add_output, as_json, emit
from fg_config.commands.policy_options import add_policy_options, given_policy

if TYPE_CHECKING:
    from fg_config.building.policy import ImportPolicy
    from fg_config.lint.findings import Finding


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the flags of the verb."""
    add_output(parser)
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="print JSON")
    form.add_argument("--sarif", action="store_true", help="print SARIF 2.1.0, for code hosts and editors")
    form.add_argument(
        "--explain", type=_explained, metavar="CODE", help="say what a code means, or list all with `all`"
    )
    parser.add_argument("--all", action="store_true", help="every config of the project (default: one)")
    parser.add_argument("-r", "--recursive", action="store_true", help="every config of every project below -p")
    parser.add_argument(
        "--signatures", action="store_true", help="compare calls with the signatures of what they name; imports it in "
        "another process, under the import policy",
    )  # fmt: skip
    add_policy_options(parser)
    parser.add_argument(
        "--select", type=_codes, default=(), metavar="CODES", help="only these: FG0320, or FG03 for all of YAML"
    )
    parser.add_argument("--ignore", type=_codes, default=(), metavar="CODES", help="not these")


def _codes(text: str) -> tuple[str, ...]:
    from fg_config.lint.codes import FAMILIES, known

    words = tuple(word for word in text.replace(",", " ").split())
    for word in words:
        if not known(word):
            raise argparse.ArgumentTypeError(f"{word!r} is no code; families are {', '.join(FAMILIES)}")
    return words


def _explained(text: str) -> str:
    from fg_config.lint.codes import CODES

    if text != "all" and text not in CODES:
        raise argparse.ArgumentTypeError(f"{text!r} is no code; `--explain all` lists them")
    return text


def run(args: argparse.Namespace) -> int:
    """Print the findings; exit code 1 when there is an error or a warning among them."""
    if args.explain:
        return emit(_explanation(args.explain), args)
    from fg_config.lint.checking import summary, without_logs
    from fg_config.lint.findings import merged, relative_to

    with without_logs():
        projects = list(_projects(args))
    absolute = merged(finding for project, configs in projects for finding in _check(args, project, configs))
    findings = list(relative_to(absolute, Path.cwd()))
    count = sum(len(configs) for _, configs in projects)
    if args.json:
        emit(as_json({"findings": [finding.to_json() for finding in findings], "configs": count}), args)
    elif args.sarif:
        from fg_config.lint.sarif import to_sarif

        emit(as_json(to_sarif(findings, Path.cwd())), args)
    else:
        emit("\n\n".join([*map(str, findings), summary(findings, count)]), args)
    return EXIT_PROBLEMS if any(finding.severity != "note" for finding in findings) else 0


def _explanation(word: str) -> str:
    from fg_config.lint.codes import CODES, explanation

    if word == "all":
        return "\n".join(f"{code}  {entry.severity:<7}  {entry.title}" for code, entry in CODES.items())
    return explanation(word)


def _projects(args: argparse.Namespace) -> Iterator[tuple[Path, list[str]]]:
    """Each project that is looked at, with the names of its configs."""
    from fg_config.commands.listing import find_projects
    from fg_config.projects.project import Project, list_configs

    for project in find_projects([Path(args.project_dir)], recursive=args.recursive):
        if args.all or args.recursive:
            yield project, _configs_below(project) if args.recursive else list_configs(project)
        else:
            yield project, [Project(args.config_template, project).config_name]


def _configs_below(project: Path) -> list[str]:
    """The configs of one project of many; a record that cannot be read is a finding of `check`, not the end."""
    from fg_config.errors import ConfigError
    from fg_config.projects.project import list_configs

    try:
        return list_configs(project)
    except ConfigError:
        return []


def _check(args: argparse.Namespace, project: Path, configs: list[str]) -> Iterator[Finding]:
    """The findings of one project; with `-r` its name stands before those of the configs."""
    from fg_config.lint.checking import CheckOptions, check

    options = CheckOptions(
        signatures=args.signatures,
        select=args.select,
        ignore=args.ignore,
        reserved=_reserved_flags(),
        policy=_policy(args, project),
    )
    for finding in check(project, configs, options):
        names = tuple(f"{project.name}/{name}" for name in finding.configs) if args.recursive else finding.configs
        yield replace(finding, configs=names)


def _policy(args: argparse.Namespace, project: Path) -> ImportPolicy | None:
    """What `--trust` and `--allow` say; None leaves it to the project."""
    from fg_config.projects.workspace import find_workspace_dir

    return given_policy(args, project, find_workspace_dir(project)) if args.trust or args.allow else None


def _reserved_flags() -> frozenset[str]:
    """The flags of the verbs that a config's own flags are added to."""
    from fg_config import commands

    flags: set[str] = set()
    for verb in commands.DYNAMIC:
        parser = CommandParser()
        commands.configure(verb, parser, ["--no-dyn"])
        flags |= {flag for action in parser._actions for flag in action.option_strings}
    return frozenset(flags)
