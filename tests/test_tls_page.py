"""Commands that are written down are commands that exist: on the pages about TLS, and in the messages of fg-tls."""

from __future__ import annotations

import ast
import re
import shlex
from pathlib import Path

import pytest

import fg_inference.commands
import fg_tls.commands
from fg_config.command_line import CommandParser
from tools import markdown

ROOT = Path(__file__).parents[1]
PAGES = ("docs/operations/tls.md", "packages/fg-tls/README.md", "apps/inference/README.md")
VERBS = {"tls": fg_tls.commands, "inf": fg_inference.commands}
SHELL = ("console run", "console", "bash", "sh", "text", "ini")
COMMAND = re.compile(r"forgather (?:tls|inf) \w.*")
SPAN = re.compile(r"`(forgather (?:tls|inf) [^`]+)`")
NAMES = (*fg_tls.commands._ACTIONS, "token add", "token list", "token remove", "server", "client")
BEHIND = re.compile(r"\s(?:[<>&|#]|2>|\|\|).*|\s?;.*")  # redirections, further commands, comments


def on_page(page):
    text = (ROOT / page).read_text()
    for block in markdown.code_blocks(text):
        if block.info in SHELL:
            lines = block.text.splitlines()
            shown = [line for line in lines if line.startswith("$ ")] if block.info.startswith("console") else lines
            yield from (match[0] for line in shown if (match := COMMAND.search(line)))
    for _, line in markdown.prose_lines(text):
        yield from SPAN.findall(line)


def in_messages(module):
    """What the strings of a module advise; what is computed in them stands as X."""
    for node in ast.walk(ast.parse(module.read_text())):
        if isinstance(node, ast.JoinedStr):
            text = "".join(str(each.value) if isinstance(each, ast.Constant) else "X" for each in node.values)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            text = node.value
        else:
            continue
        yield from SPAN.findall(" ".join(text.split()))


def refusal(command, capsys):
    """What the parser of the verb says against a command; None when it takes it. An action alone is only named."""
    verb, *words = shlex.split(BEHIND.sub("", command))[1:]
    parser = CommandParser(prog=f"forgather {verb}")
    VERBS[verb].configure(verb, parser, words)
    try:
        parser.parse_args([*words, "--help"] if " ".join(words) in NAMES else words)
    except SystemExit as error:
        if error.code == 0:
            return None
        return f"{command}: {capsys.readouterr().err}"
    return None


@pytest.mark.parametrize("page", PAGES)
def test_every_command_on_a_page_can_be_parsed(page, capsys):
    found = list(on_page(page))
    assert found
    assert [said for each in found if (said := refusal(each, capsys))] == []


def test_every_command_that_a_message_advises_can_be_parsed(capsys):
    found = {each for module in (ROOT / "packages/fg-tls/src").rglob("*.py") for each in in_messages(module)}
    assert len(found) >= 15
    said = [said for each in sorted(found) if (said := refusal(each, capsys))]
    assert [each for each in said if "unrecognized arguments: X\n" not in each] == []  # what is computed may be a flag


def test_every_action_is_on_the_page():
    commands = "\n".join(on_page(PAGES[0]))
    missing = [each for each in fg_tls.commands._ACTIONS if not re.search(rf"forgather tls {each}\b", commands)]
    assert missing == []


def test_what_does_not_exist_is_found(capsys):
    assert "unrecognized" in refusal("forgather tls join --token abc", capsys)
    assert refusal("forgather tls join < token", capsys) is None
