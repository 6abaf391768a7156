"""A mistake that two stages notice is one finding, the one that tells the cause."""

from __future__ import annotations

from pathlib import Path

import pytest

from fg_config.lint.checking import check
from fg_config.lint.findings import Finding

META = "meta: {config_name: c}\n"


def findings(directory: Path, config: str, part: str = "") -> list[Finding]:
    (directory / "forgather_workspace").mkdir()
    (directory / "templates" / "configs").mkdir(parents=True)
    (directory / "meta.yaml").write_text("")
    (directory / "templates" / "configs" / "c.yaml").write_text(META + config)
    (directory / "templates" / "part.yaml").write_text(part)
    return check(directory)


@pytest.mark.parametrize(
    ("config", "line", "cause"),
    [
        ("a: 0\n-- include 'part.yaml'\nb: 2\n", 4, "an included template ends without a line break"),
        ("[x!]\na: 0\n[y]\nb: 2 ## why\n", 5, "the block that ends at [y] has a `!` in its header"),
        ("-- block x\na: 0\n\n<< endblock x\nb: 2\n", 6, "this statement eats the line breaks on both sides"),
        ("a: 0\n>> if true\n-- include 'part.yaml'\n-- endif\nb: 2\n", 6, "a statement eats the line break behind it"),
    ],
    ids=["include", "header", "stripping", "statement"],
)
def test_glued_keys_are_one_error_that_says_what_ate_the_line_break(tmp_path, config, line, cause):
    (found,) = findings(tmp_path, config, "i: 1\n")
    assert (found.code, found.severity) == ("FG0106", "error")
    assert found.span is not None and (Path(found.span.file).name, found.span.line) == ("c.yaml", line)
    assert found.help is not None and cause in found.help


def test_a_quote_that_stays_open_behind_a_joint_is_the_mistake_that_is_told(tmp_path):
    found = findings(tmp_path, "a: 0\n-- include 'part.yaml'\nb: 'x\n", "x\n")
    assert ("FG0300", "YAML syntax: the quotation mark is never closed") in [
        (each.code, each.message) for each in found
    ]


@pytest.mark.parametrize("first", ["-- 2 dashes", "== ="], ids=["statement", "expression"])
def test_text_that_the_shorthand_breaks_is_one_error_at_its_column(tmp_path, first):
    (found,) = findings(tmp_path, f"text: |\n    hello\n    {first}\n    more\n")
    assert (found.code, found.severity) == ("FG0101", "error")
    assert found.span is not None and (found.span.line, found.span.column) == (4, 5)
    assert found.help == f"to mean the text, write {{{{ '{first[:2]} ' }}}} for it"


def test_a_statement_that_is_meant_keeps_its_own_error(tmp_path):
    (found,) = findings(tmp_path, "text: |\n    hello\n    -- include\n")
    assert found.code == "FG0201"
