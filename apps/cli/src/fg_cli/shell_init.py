"""`forgather shell-init SHELL`: text for the shell's start-up file.

`fg` is the shell's own word for job control, so an executable of that name is never reached from a prompt. The
printed function passes `fg`, `fg %1`, `fg 2`, `fg +` and `fg -` to job control and everything else to `forgather`.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from importlib.resources import files
from string import Template
from typing import Final

SHELLS: Final = ("bash", "zsh", "fish")
VERBS: Final = {"shell-init": "print the shell function that makes `fg VERB` work at the prompt"}

_USE: Final = {
    "bash": 'add to ~/.bashrc:  eval "$(forgather shell-init bash)"',
    "zsh": 'add to ~/.zshrc:  eval "$(forgather shell-init zsh)"',
    "fish": "add to ~/.config/fish/config.fish:  forgather shell-init fish | source",
}


def configure(verb: str, parser: argparse.ArgumentParser, argv: Sequence[str]) -> None:
    """Add the one argument of `shell-init`."""
    parser.add_argument("shell", choices=SHELLS)
    parser.epilog = "; ".join(_USE.values())


def run(verb: str, args: argparse.Namespace) -> int:
    """Print the text for `args.shell`."""
    print(shell_text(args.shell), end="")  # noqa: T201  # this is the command line
    return 0


def shell_text(shell: str) -> str:
    """The function `fg`, and a completion that asks the command what fits."""
    template = Template(files("fg_cli").joinpath("shell", f"init.{shell}").read_text(encoding="utf-8"))
    return template.substitute(use=_USE[shell])
