"""The words that the interactive shell understands itself."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final

from fg_config.errors import ConfigError
from fg_config.projects.project import list_configs
from fg_config.projects.workspace import find_project_dir
from fg_config.shell.editing import editable_files, numbered
from fg_config.shell.editor import EditorError, editor_command, open_in_editor
from fg_config.shell.history import History
from fg_config.shell.selection import chosen_numbers
from fg_config.shell.session import Session

OWN_WORDS: Final[dict[str, str]] = {
    "cd": "cd [DIR]: go to a directory (without one: the workspace)",
    "pwd": "print the directory",
    "configs": "list the configs of the project, the chosen one marked",
    "config": "config [NAME]: choose the config of later commands; `config -` is the default again",
    "commands": "list the verbs of forgather",
    "edit": "edit [PATH]: open a file, or choose among the templates of the config",
    "debug": "print what the shell knows: project, config, history, editor",
    "help": "list these words; `VERB --help` explains a verb",
    "exit": "leave (also quit, Ctrl-D)",
    "quit": "leave",
}


def run_own_word(word: str, words: Sequence[str], session: Session, verbs: Mapping[str, str]) -> None:
    """Do what a line says that begins with `word`. Raises `ConfigError`."""
    if len(words) > (1 if word in ("cd", "config", "edit") else 0):
        raise ConfigError(f"too many words behind {word!r}", code="FG0643", help=OWN_WORDS[word])
    actions: dict[str, Callable[[], None]] = {
        "cd": lambda: _cd(words, session),
        "pwd": lambda: print(session.directory),
        "configs": lambda: _configs(session),
        "config": lambda: _config(words, session),
        "commands": lambda: _table(verbs),
        "edit": lambda: _edit(words, session),
        "debug": lambda: _debug(session),
        "help": lambda: _table(OWN_WORDS),
        "exit": lambda: _leave(session),
        "quit": lambda: _leave(session),
    }
    actions[word]()


def _cd(words: Sequence[str], session: Session) -> None:
    session.change_directory(words[0] if words else str(session.workspace or "~"))


def _configs(session: Session) -> None:
    for name in list_configs(find_project_dir(session.directory)):
        print(f"{'*' if name == session.config else ' '} {name}")


def _config(words: Sequence[str], session: Session) -> None:
    if words:
        session.choose_config(words[0])
    else:
        print(session.config or "the default of the project")


def _table(rows: Mapping[str, str]) -> None:
    width = max(map(len, rows))
    print("\n".join(f"  {name:<{width}}  {text}" for name, text in rows.items()))


def _leave(session: Session) -> None:
    session.done = True


def _edit(words: Sequence[str], session: Session) -> None:
    if words:
        open_in_editor([Path(words[0]).expanduser()])
        return
    files = editable_files(find_project_dir(session.directory), session.config)
    print(numbered(files, session.directory))
    try:
        answer = input("edit (such as 1,3,5-8)> ")
    except EOFError:
        print()
        return
    chosen = [files[number - 1].file for number in chosen_numbers(answer, len(files))]
    if chosen:
        open_in_editor(chosen)


def _debug(session: Session) -> None:
    workspace = session.workspace
    facts = {
        "directory": session.directory,
        "project": session.project or "none here",
        "workspace": workspace or "none here",
        "config": session.config or "the default of the project",
        "history": History(workspace).file if workspace else "this session only",
        "editor": _editor(),
        "pager": os.environ.get("PAGER") or "less -FRX",
    }
    _table({name: str(value) for name, value in facts.items()})


def _editor() -> str:
    try:
        return " ".join(editor_command())
    except EditorError as error:
        return error.message
