"""The templates that the distributions ship, and all examples: `check` has nothing to say about them."""

from __future__ import annotations

from pathlib import Path

import pytest

from fg_config import CheckOptions, Project, check
from fg_config.lint.checking import OF_SOURCE
from fg_config.lint.context import read_config
from fg_config.lint.library import Library

EXAMPLES = Path(__file__).parents[1] / "examples"
PROJECTS = sorted(path.parent for path in EXAMPLES.rglob("meta.yaml") if "output_models" not in path.parts)


@pytest.fixture(autouse=True)
def _no_user_directory(tmp_path, monkeypatch):
    monkeypatch.setenv("FORGATHER_CONFIG_DIR", str(tmp_path))


@pytest.mark.parametrize("project", PROJECTS, ids=lambda path: str(path.relative_to(EXAMPLES)))
def test_an_example_is_clean(project):
    findings = check(project, options=CheckOptions(signatures=True))
    assert [str(each) for each in findings if each.severity != "note"] == []


def test_every_template_of_the_libraries_is_clean_text():
    library = Library(Project("", EXAMPLES / "tutorials" / "tiny_llama"))
    context = read_config(library.project)
    assert len(library.sources) > 20
    found = [finding for source in library.sources for rule in OF_SOURCE for finding in rule(context, source)]
    assert [str(finding) for finding in found] == []
