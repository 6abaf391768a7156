"""`forgather -i`, and the answers to the completion of bash, zsh and fish."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Sequence

from fg_cli.main import commands_of, split
from fg_cli.verbs import HELPS


def open_shell(before: Sequence[str], verb: str | None, after: Sequence[str]) -> int:
    """Open the interactive shell where `-p` and `-t` of `before` say; a verb behind them is its first line."""
    from fg_config.command_line import CommandParser, add_project_options, reporting_errors
    from fg_config.shell.interactive import Tool, run_line, run_shell
    from fg_config.shell.session import Session

    parser = CommandParser(prog="forgather -i")
    add_project_options(parser)
    parser.add_argument("-i", "--interactive", action="store_true", help="open the interactive shell")
    args = parser.parse_args(before)
    tool = Tool(command=[sys.executable, "-m", "fg_cli"], verbs=HELPS, commands_of=commands_of, split=split)

    def work() -> int:
        session = Session()
        session.change_directory(args.project_dir)
        if args.config_template:
            session.choose_config(args.config_template)
        if verb is not None:
            run_line(shlex.join([verb, *after]), tool, session)
        return run_shell(tool, session)

    return reporting_errors(work)


def print_completion(words: Sequence[str]) -> int:
    """Print what can stand in place of the last word: the kind of paths, then a candidate per line."""
    from fg_config.shell.completion import complete

    print("\n".join(complete(words, HELPS, commands_of).to_lines()))  # noqa: T201  # this is the command line
    return 0
