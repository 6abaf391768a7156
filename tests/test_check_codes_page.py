"""The page of codes says what `check --explain` says."""

from __future__ import annotations

from pathlib import Path

from fg_config.lint.codes import CODES, FAMILIES

PAGE = Path(__file__).parents[1] / "docs" / "check-codes.md"


def test_the_page_lists_every_code_by_family():
    text = PAGE.read_text()
    for family, title in FAMILIES.items():
        rows = [
            f"| {code} | {each.severity} | {each.title} | {each.meaning} |"
            for code, each in CODES.items()
            if code.startswith(family)
        ]
        head = ["| code | severity | title | meaning |", "| --- | --- | --- | --- |"]
        assert f"## {family}: {title}\n\n" + "\n".join([*head, *rows]) + "\n" in text
