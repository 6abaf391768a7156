"""Dispatch of `forgather VERB …`: options before the verb move behind it, the verb's distribution does the rest."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from collections.abc import Sequence
from typing import Final, cast

from fg_cli.__about__ import __version__
from fg_cli.verbs import VERBS, Verb

_VALUE_OPTIONS: Final = ("-p", "--project-dir", "-t", "--config-template")
_GLOBAL_OPTIONS: Final = """\
options of the verbs that work on a config (before or after the verb):
  -p, --project-dir DIR       project, or a directory inside it (default: .)
  -t, --config-template NAME  config of the project (default: the project's own default)
  --no-dyn                    do not read the config's own flags
  -h, --help                  this text; behind a verb, the verb's flags
  --version                   the version of this command"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line `argv` (default: of this process) and return its exit code."""
    before, verb, after = split(list(sys.argv[1:] if argv is None else argv))
    if verb is None:
        return _without_verb(before)
    if verb not in VERBS:
        from fg_config.command_line import unknown_verb

        return unknown_verb(verb, {name: each.help for name, each in VERBS.items()}, "forgather")
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


def _dispatch(verb: Verb, before: list[str], after: list[str]) -> int:
    if importlib.util.find_spec(verb.module.partition(".")[0]) is None:
        text = f"forgather: {verb.name!r} is a verb of {verb.distribution}, which is not installed"
        print(f"{text}\n  help: pip install {verb.distribution}", file=sys.stderr)  # noqa: T201
        return 2
    from fg_config.command_line import Commands, run_verb

    commands = cast("Commands", importlib.import_module(verb.module))
    return run_verb(commands, verb.name, after, prog=f"forgather {verb.name}", before=before)
