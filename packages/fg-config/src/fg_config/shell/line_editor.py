"""Reading lines with history and completion, by the readline that Python brings."""

from __future__ import annotations

import re
import readline
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from fg_config.shell.completion import CommandsOf, Completion, PathKind, complete
from fg_config.shell.history import LIMIT, History
from fg_config.shell.own_words import OWN_WORDS
from fg_config.shell.session import Session
from fg_config.shell.values import Selection, named_values

_SPECIAL: Final = re.compile(r"[\s'\"\\#]")


class LineEditor:
    """Reads the lines of one shell. The history is that of the workspace in which a line is typed."""

    def __init__(self, verbs: Mapping[str, str], commands_of: CommandsOf, session: Session) -> None:
        self.verbs = verbs
        self.commands_of = commands_of
        self.session = session
        self._workspace: Path | None = None
        self._history: History | None = None
        self._matches: list[str] = []
        readline.set_auto_history(False)
        readline.set_history_length(LIMIT)
        readline.set_completer_delims(" \t\n")
        readline.set_completer(self._next_match)
        libedit = "libedit" in (readline.__doc__ or "")
        readline.parse_and_bind("bind ^I rl_complete" if libedit else "tab: complete")

    def read(self, prompt: str) -> str:
        """The next line. Raises `EOFError` and `KeyboardInterrupt`."""
        self._follow_workspace()
        line = input(prompt)
        if line.strip():
            readline.add_history(line)
            if self._history is not None:
                self._history.append(line)
        return line

    def _follow_workspace(self) -> None:
        workspace = self.session.workspace
        if workspace == self._workspace:
            return
        self._workspace = workspace
        self._history = None if workspace is None else History(workspace)
        readline.clear_history()
        try:
            for line in self._history.lines() if self._history else ():
                readline.add_history(line)
        except OSError as error:  # a workspace may be read-only, which is no reason to refuse the shell
            print(f"no history here: {error.strerror}: {error.filename}", file=sys.stderr)
            self._history = None

    def _next_match(self, text: str, state: int) -> str | None:
        if state == 0:
            self._matches = self._all_matches(text)
        return self._matches[state] if state < len(self._matches) else None

    def _all_matches(self, text: str) -> list[str]:
        before = readline.get_line_buffer()[: readline.get_begidx()].split()
        return completed_words([*before, text], self.verbs, self.commands_of, self.session.config)


def completed_words(
    words: Sequence[str], verbs: Mapping[str, str], commands_of: CommandsOf, config: str = ""
) -> list[str]:
    """The words that can stand in place of the last one; a blank ends those that are complete."""
    *before, text = words
    if not before:
        return [f"{word} " for word in sorted([*verbs, *OWN_WORDS]) if word.startswith(text)]
    if before[0] in OWN_WORDS:
        return _own_arguments(before, text)
    chosen = ["-t", config] if config and "-t" not in before else []
    found = complete([*chosen, *before, text], verbs, commands_of)
    return [f"{each.text} " for each in found.candidates] + _path_words(found, text)


def _own_arguments(before: Sequence[str], text: str) -> list[str]:
    if len(before) > 1:
        return []
    kinds: dict[str, PathKind] = {"cd": "directories", "edit": "files"}
    if before[0] == "config":
        return [f"{name} " for name in named_values("config", text, Selection()) if name.startswith(text)]
    return _path_words(Completion(paths=kinds.get(before[0], "none")), text)


def _path_words(completion: Completion, text: str) -> list[str]:
    """Paths that begin with `text`; a directory ends with `/`, so that one can go on."""
    if completion.paths == "none":
        return []
    head, slash, start = text.rpartition("/")
    folder = Path(head + slash).expanduser() if slash else Path()
    if not folder.is_dir():
        return []
    hidden = start.startswith(".")
    entries = sorted(each for each in folder.iterdir() if each.name.startswith(start))
    shown = [each for each in entries if hidden or not each.name.startswith(".")]
    directories = [f"{head}{slash}{_escaped(each.name)}/" for each in shown if each.is_dir()]
    files = [f"{head}{slash}{_escaped(each.name)} " for each in shown if not each.is_dir()]
    return directories if completion.paths == "directories" else [*directories, *files]


def _escaped(name: str) -> str:
    """`name` as the part of a word that `shlex` reads back."""
    return _SPECIAL.sub(r"\\\g<0>", name)
