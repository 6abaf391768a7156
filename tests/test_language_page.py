"""The examples of the language reference: what stands below a template is what it renders to, means or raises.

`yaml example NAME` is a template of that name for the examples of its section, `yaml example` is the config itself.
The blocks that follow it say what comes out: `yaml rendered` (without blank lines), `python built` (target `main`), or
`text error`.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from fg_config import ConfigEnvironment, ConfigError, Latent
from tools import markdown

PAGE = Path(__file__).parents[1] / "docs" / "language.md"


@dataclass
class Example:
    """A config with the templates around it, and one thing that is said about it."""

    config: str
    kind: str
    wanted: str
    line: int
    templates: dict[str, str] = field(default_factory=dict)


def examples(text: str) -> Iterator[Example]:
    headings = [number for number, line in markdown.prose_lines(text) if line.startswith("#")]
    templates: dict[str, str] = {}
    config, previous = "", 0
    for block in markdown.code_blocks(text):
        if any(previous < heading < block.line for heading in headings):
            templates = {}
        previous = block.line
        word, _, name = block.info.removeprefix("yaml ").partition(" ")
        if block.info.startswith("yaml example") and name:
            templates[name] = block.text
        elif word == "example":
            config = block.text
        elif block.info in ("yaml rendered", "python built", "text error"):
            yield Example(config, block.info.split()[1], block.text, block.line, dict(templates))


EXAMPLES = list(examples(PAGE.read_text(encoding="utf-8")))


def without_blank_lines(text: str) -> str:
    return "\n".join(line.rstrip() for line in text.splitlines() if line.strip())


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: f"line {example.line}")
def test_example(example: Example) -> None:
    environment = ConfigEnvironment()
    for name, text in example.templates.items():
        environment.add_template(name, text)
    if example.kind == "built":
        built = Latent.materialize(environment.load_from_string(example.config).config, "main")
        assert built == ast.literal_eval(example.wanted)
        return
    assert shown(environment, example) == without_blank_lines(example.wanted)


def shown(environment: ConfigEnvironment, example: Example) -> str:
    """The text that the example renders to, or the report of its error."""
    if example.kind == "rendered":
        return without_blank_lines(environment.preprocess_from_string(example.config))
    with pytest.raises(ConfigError) as caught:
        Latent.materialize(environment.load_from_string(example.config).config, "main")
    return without_blank_lines(str(caught.value))


def test_every_example_of_the_page_says_what_comes_out() -> None:
    blocks = list(markdown.code_blocks(PAGE.read_text(encoding="utf-8")))
    assert {block.text for block in blocks if block.info == "yaml example"} == {each.config for each in EXAMPLES}


def test_the_page_has_examples_of_each_kind() -> None:
    kinds = [example.kind for example in EXAMPLES]
    assert min(kinds.count(kind) for kind in ("rendered", "built", "error")) >= 3
