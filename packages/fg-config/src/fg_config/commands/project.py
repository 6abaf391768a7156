"""`project`: the project directory, its record, new projects and new configs."""

from __future__ import annotations

import argparse
from pathlib import Path

from fg_config.command_line import selected_record
from fg_config.commands.output import add_json, as_json


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the actions of the verb; without one it prints the directory."""
    actions = parser.add_subparsers(dest="action", metavar="ACTION", parser_class=type(parser))
    show = actions.add_parser("show", help="print the project's record", description="print the project's record")
    _project_option(show)
    add_json(show)
    _configure_create(actions.add_parser("create", help="create a project", description="create a project"))
    new = actions.add_parser("new_config", help="create a config or template", description="create a config")
    _project_option(new)
    new.add_argument("name", metavar="NAME", help="its name, such as big.yaml")
    new.add_argument("copy_from", nargs="?", metavar="COPY_FROM", help="a config, template or file to copy")
    new.add_argument(
        "--type",
        choices=("config", "project", "ws"),
        default="config",
        help="a config (default), or a template of the project or the workspace",
    )


def _project_option(parser: argparse.ArgumentParser) -> None:
    """`-p` behind the action; suppressed, so that one before the action stays."""
    parser.add_argument("-p", "--project-dir", metavar="DIR", default=argparse.SUPPRESS, help="project (default: .)")


def _configure_create(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("-p", "--project-dir", metavar="DIR", default=argparse.SUPPRESS, help="where (default: .)")
    parser.add_argument("--name", required=True, help="name of the project")
    parser.add_argument("--description", default="", help="a sentence about it")
    parser.add_argument("--config-prefix", default="configs", metavar="DIR", help="default: configs")
    parser.add_argument("--default-config", default="default.yaml", metavar="NAME", help="default: default.yaml")
    parser.add_argument("--project-dir-name", metavar="DIR", help="name of the directory (default: from --name)")
    parser.add_argument("--scaffold", metavar="NAME", help="what to start from (default: a model that trains)")
    parser.add_argument("copy_from", nargs="?", type=Path, metavar="COPY_FROM", help="a file to be the first config")


def run(args: argparse.Namespace) -> int:
    """Print the directory, or do what the action says."""
    if args.action == "create":
        return _create(args)
    if args.action is None:
        from fg_config.projects.workspace import find_project_dir

        print(find_project_dir(args.project_dir))
        return 0
    meta = selected_record(args)
    if args.action == "show":
        from fg_config.commands.meta import record, record_lines

        print(as_json(record(meta)) if args.json else "\n".join(record_lines(meta)))
        return 0
    from fg_config.scaffold.config import create_template

    print(f"created {create_template(meta, args.name, args.type, args.copy_from)}")
    return 0


def _create(args: argparse.Namespace) -> int:
    from fg_config.scaffold.project import NewProject

    project = NewProject(
        parent=Path(args.project_dir),
        name=args.name,
        description=args.description,
        config_prefix=args.config_prefix,
        default_config=args.default_config,
        directory_name=args.project_dir_name,
        scaffold=args.scaffold,
        copy_from=args.copy_from,
    )
    for file in project.create():
        print(f"created {file}")
    return 0
