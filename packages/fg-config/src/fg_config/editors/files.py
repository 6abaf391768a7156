"""The files that an editor needs, by their path inside its folder."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any, Final

from fg_config.editors import textmate, vim

_README: Final = """\
# Forgather for Visual Studio Code

Syntax of Forgather templates and configs. Copy this folder to `~/.vscode/extensions/forgather`, or write it there with
`forgather editor vscode -o ~/.vscode/extensions/forgather`, and restart the editor.
"""


def vscode_files() -> dict[str, str]:
    """An extension folder for Visual Studio Code."""
    return {
        "README.md": _README,
        "package.json": _json(textmate.extension_manifest()),
        "language-configuration.json": _json(textmate.language_configuration()),
        "syntaxes/forgather.tmLanguage.json": _json(textmate.grammar()),
    }


def vim_files() -> dict[str, str]:
    """A package folder for Vim and Neovim."""
    return {
        "syntax/forgather.vim": vim.syntax(),
        "ftdetect/forgather.vim": vim.FILE_TYPE_DETECTION,
        "ftplugin/forgather.vim": vim.FILE_TYPE_SETTINGS,
    }


def table_files() -> dict[str, str]:
    """The table of tokens, for editors that run it themselves."""
    return {"tokens.json": _json(textmate.token_table())}


def _json(value: Any) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False) + "\n"


EDITORS: Final[Mapping[str, Callable[[], dict[str, str]]]] = {
    "vscode": vscode_files,
    "vim": vim_files,
    "tokens": table_files,
}
