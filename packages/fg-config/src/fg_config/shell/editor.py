"""Opening files in the editor that the user works in."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from fg_config.errors import ConfigError

_IN_TERMINAL: Final = frozenset({"vim", "vi", "nvim", "nano", "pico", "ed", "joe", "micro", "hx", "helix", "kak"})


class EditorError(ConfigError):
    """There is no editor to open a file with."""

    default_code = "FG0640"


def editor_command(environment: Mapping[str, str] = os.environ) -> list[str]:
    """The words that start the editor, without the files.

    In this order: the VS Code window whose terminal this is, the Neovim or Vim whose terminal this is, a running Vim
    server, `$VISUAL`, `$EDITOR`, vim. Raises `EditorError`.
    """
    found = _window_around(environment) or _vim_server(environment) or _named(environment)
    if found:
        return found
    for name in ("vim", "vi", "nano"):
        if (program := _program(name, environment)) is not None:
            return [program]
    raise EditorError("no editor found", help="name one in $EDITOR")


def open_in_editor(files: Sequence[Path]) -> int:
    """Open `files` and return the editor's exit code. Raises `EditorError`."""
    command = [*editor_command(), *map(str, files)]
    if _needs_terminal(command) and not (sys.stdin.isatty() and sys.stdout.isatty()):
        help = f"open {', '.join(map(str, files))} in a terminal, or name an editor with a window in $EDITOR"
        raise EditorError(f"{command[0]!r} needs a terminal, and here is none", help=help)
    try:
        return subprocess.run(command, check=False).returncode
    except OSError as error:
        raise EditorError(f"{command[0]!r} cannot be started: {error.strerror}", help="name one in $EDITOR") from error


def _needs_terminal(command: Sequence[str]) -> bool:
    """Whether the editor draws in the terminal; `--remote` hands the files to one that runs already."""
    return Path(command[0]).stem in _IN_TERMINAL and "--remote" not in command


def _window_around(environment: Mapping[str, str]) -> list[str] | None:
    if environment.get("VSCODE_IPC_HOOK_CLI") or environment.get("TERM_PROGRAM") == "vscode":
        program = _program("code", environment)
        return [program, "--reuse-window"] if program else None
    if server := environment.get("NVIM"):
        program = _program("nvim", environment)
        return [program, "--server", server, "--remote"] if program else None
    return None


def _vim_server(environment: Mapping[str, str]) -> list[str] | None:
    """A Vim that listens: the one around this terminal, else the first that `vim --serverlist` names."""
    program = _program("vim", environment)
    if program is None:
        return None
    name = environment.get("VIM_SERVERNAME")
    if not name and environment.get("DISPLAY"):  # without X11 there is no list to ask for
        done = subprocess.run([program, "--serverlist"], capture_output=True, text=True, check=False)
        name = next(iter(done.stdout.split()), None) if done.returncode == 0 else None
    return [program, "--servername", name, "--remote"] if name else None


def _named(environment: Mapping[str, str]) -> list[str] | None:
    text = environment.get("VISUAL") or environment.get("EDITOR")
    return shlex.split(text) if text else None


def _program(name: str, environment: Mapping[str, str]) -> str | None:
    return shutil.which(name, path=environment.get("PATH"))
