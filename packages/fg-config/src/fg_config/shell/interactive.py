"""The interactive shell: `forgather -i`.

Its own words (`cd`, `config`, `edit` …) change where it stands; every other line is a command line of `forgather`,
which runs as a process of its own with the directory and config chosen here.
"""

from __future__ import annotations

import shlex
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from fg_config.command_line import CommandParser
from fg_config.commands import OF_PROJECTS
from fg_config.errors import ConfigError
from fg_config.hints import nearest
from fg_config.shell.completion import CommandsOf
from fg_config.shell.line_editor import LineEditor
from fg_config.shell.own_words import OWN_WORDS, run_own_word
from fg_config.shell.running import run_command
from fg_config.shell.session import Session

_CONFIG_FLAGS: Final = ("-t", "--config-template")


@dataclass(frozen=True, slots=True, kw_only=True)
class Tool:
    """The command that the shell runs: its words, its verbs with their help, and the module of each verb."""

    command: Sequence[str]
    verbs: Mapping[str, str]
    commands_of: CommandsOf
    split: Callable[[list[str]], tuple[list[str], str | None, list[str]]]


def run_shell(tool: Tool, session: Session) -> int:
    """Read and run lines until `exit` or the end of input; the exit code of the shell."""
    editor = LineEditor(tool.verbs, tool.commands_of, session)
    while not session.done:
        try:
            line = editor.read(session.prompt)
        except KeyboardInterrupt:
            print()
            continue
        except EOFError:
            print()
            break
        run_line(line, tool, session)
    return 0


def run_line(line: str, tool: Tool, session: Session) -> None:
    """Run one line. Mistakes are printed; the shell goes on."""
    try:
        words = shlex.split(line, comments=True)
    except ValueError as error:
        print(f"{line!r}: {str(error).lower()}", file=sys.stderr)
        return
    if not words:
        return
    if words[0] in OWN_WORDS:
        _run_own(words, tool, session)
    else:
        _run_verb(words, tool, session)


def _run_own(words: Sequence[str], tool: Tool, session: Session) -> None:
    try:
        run_own_word(words[0], words[1:], session, tool.verbs)
    except (ConfigError, OSError) as error:
        print(error, file=sys.stderr)
    except KeyboardInterrupt:
        print()


def _run_verb(words: Sequence[str], tool: Tool, session: Session) -> None:
    before, verb, after = tool.split(list(words))
    if verb is not None and verb not in tool.verbs:
        hint = nearest(verb, [*tool.verbs, *OWN_WORDS], "words") or "`help` lists what can be typed here"
        print(f"unknown word {verb!r}\n  help: {hint}", file=sys.stderr)
        return
    if session.config and verb and not _chooses_config(words) and _takes_config(verb, tool):
        before = ["-t", session.config, *before]
    full = [*before, *([verb] if verb else []), *after]
    print(f"Executing: {shlex.join(['forgather', *full])}", flush=True)
    run_command([*tool.command, *full], verb or "", full)


def _chooses_config(words: Sequence[str]) -> bool:
    return any(word.partition("=")[0] in _CONFIG_FLAGS for word in words)


def _takes_config(verb: str, tool: Tool) -> bool:
    """Whether the verb has `-t` and works on one config; asked without reading any."""
    commands = tool.commands_of(verb)
    if commands is None or verb in OF_PROJECTS:
        return False
    parser = CommandParser(prog=verb)
    commands.configure(verb, parser, ["--no-dyn", "--help"])
    return any(set(_CONFIG_FLAGS) <= set(action.option_strings) for action in parser._actions)
