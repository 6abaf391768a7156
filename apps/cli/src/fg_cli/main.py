"""Dispatch of `forgather VERB …`: options before the verb move behind it, the verb's distribution does the rest."""

from __future__ import annotations

import importlib
import importlib.util
import shlex
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final, cast

from fg_cli.__about__ import __version__
from fg_cli.verbs import HELPS, VERBS, Verb

if TYPE_CHECKING:
    from fg_config.command_line import Commands

_VALUE_OPTIONS: Final = ("-p", "--project-dir", "-t", "--config-template")
_GLOBAL: Final = (*_VALUE_OPTIONS, "--no-dyn", "-i", "--interactive", "-h", "--help")
_GLOBAL_OPTIONS: Final = """\
options of the verbs that work on a config (before or after the verb):
  -p, --project-dir DIR       project, or a directory inside it (default: .)
  -t, --config-template NAME  config of the project (default: the project's own default)
  --no-dyn                    do not read the config's own flags
  -i, --interactive           open the interactive shell (before a verb: after running it)
  -h, --help                  this text; behind a verb, the verb's flags
  --version                   the version of this command"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line `argv` (default: of this process) and return its exit code."""
    from fg_config.command_line import reporting_errors

    words = list(sys.argv[1:] if argv is None else argv)
    return reporting_errors(lambda: _run(words))


def _run(words: list[str]) -> int:
    if words[:1] == ["--complete"]:  # asked by the functions that `shell-init` prints
        from fg_cli.prompt import print_completion

        return print_completion(words[1:])
    from fg_config.command_line import as_help

    before, verb, after = split(as_help(words, VERBS))
    if {"-i", "--interactive"} & set(before):
        from fg_cli.prompt import open_shell

        return open_shell(before, verb, after)
    if verb is None:
        return _without_verb(before)
    if verb not in VERBS:
        return _unknown(before, verb, after)
    return _dispatch(VERBS[verb], before, after)


def split(words: list[str]) -> tuple[list[str], str | None, list[str]]:
    """`words` as options before the verb, the verb, and the words behind it."""
    position = 0
    while position < len(words) and words[position].startswith("-"):
        position += 2 if words[position] in _VALUE_OPTIONS else 1
    return words[:position], words[position] if position < len(words) else None, words[position + 1 :]


def overview() -> str:
    """The text of a bare `--help`."""
    width = max(map(len, VERBS))
    verbs = [f"  {verb.name:<{width}}  {verb.help}" for verb in VERBS.values()]
    usage = "usage: forgather [OPTIONS] VERB …   (`forgather VERB --help` explains one verb)"
    return "\n".join([usage, "", "verbs:", *verbs, "", _GLOBAL_OPTIONS])


def _without_verb(options: list[str]) -> int:
    if "--version" in options:
        print(f"forgather {__version__}")  # noqa: T201  # this is the command line
        return 0
    unknown = [word for word in options if word.startswith("-") and word not in ("-h", "--help", "--no-dyn")]
    if not unknown:
        print(overview())  # noqa: T201  # this is the command line
        return 0
    print(f"forgather: {unknown[0]} needs a verb behind it; `forgather --help` lists them", file=sys.stderr)  # noqa: T201
    return 2


def _unknown(before: list[str], verb: str, after: list[str]) -> int:
    """The word in place of the verb may be the value of an option that stands too early: `--lr 1e-3 train`."""
    early = next((word for word in before if word.startswith("-") and word.partition("=")[0] not in _GLOBAL), None)
    behind = next((index for index, word in enumerate(after) if word in VERBS), None)
    if early is None or behind is None:
        from fg_config.command_line import unknown_verb

        return unknown_verb(verb, HELPS, "forgather")
    others = [*before, verb, *after[:behind], *after[behind + 1 :]]
    flag = early.partition("=")[0]
    text = f"forgather: {flag} stands before the verb, where only -p, -t, --no-dyn and -i may stand"
    if _has_flag(after[behind], flag, others):
        help = shlex.join(["forgather", after[behind], *others])
    else:
        text = f"{text}; {after[behind]!r} has no {flag} either"
        help = f"`forgather {after[behind]} --help` explains its flags"
    print(f"{text}\n  help: {help}", file=sys.stderr)  # noqa: T201
    return 2


def _has_flag(verb: str, flag: str, words: list[str]) -> bool:
    """Whether `verb` takes `flag` in a command line of `words`; True when that cannot be told."""
    from fg_config.command_line import CommandParser

    commands = commands_of(verb)
    if commands is None:
        return True
    parser = CommandParser(prog=verb)
    commands.configure(verb, parser, [*words, "--help"])  # a config that cannot be read is no error then
    unread = parser.get_default("unread_config") is not None
    return unread or any(flag in action.option_strings for action in parser._actions)


def commands_of(verb: str) -> Commands | None:
    """The module that declares a verb, or None when its distribution is not installed."""
    module = VERBS[verb].module
    if importlib.util.find_spec(module.partition(".")[0]) is None:
        return None
    return cast("Commands", importlib.import_module(module))


def _dispatch(verb: Verb, before: list[str], after: list[str]) -> int:
    commands = commands_of(verb.name)
    if commands is None:
        text = f"forgather: {verb.name!r} is a verb of {verb.distribution}, which is not installed"
        print(f"{text}\n  help: pip install {verb.distribution}", file=sys.stderr)  # noqa: T201
        return 2
    from fg_config.command_line import run_verb

    return run_verb(commands, verb.name, after, prog=f"forgather {verb.name}", before=before)
