"""The checks of arrows and version ranges find what they are for."""

from __future__ import annotations

from tools.checks.arrows import check_arrows
from tools.checks.ranges import check_ranges
from tools.workspace import load_workspace

ARROWS = """
[ab-low]
depends_on = []
[ab-high]
depends_on = ["ab-low"]
only_in.ab-low = ["ab_high.launch"]
"""
BOUNDED = ["ab-low>=0.1,<0.2"]


def test_arrows_of_this_repository_are_those_of_the_table():
    assert check_arrows(load_workspace()) == []


def test_ranges_of_this_repository_are_bounded_and_admit_what_is_here():
    assert check_ranges(load_workspace()) == []


def test_declared_import_from_the_allowed_module_passes(repository):
    workspace = repository(ARROWS, ab_low=([], ""), ab_high=(BOUNDED, ""))
    workspace.named("ab-high").package.joinpath("launch.py").write_text("import ab_low\n")
    assert check_arrows(workspace) == []


def test_import_against_the_arrow_is_found_with_its_line(repository):
    workspace = repository(ARROWS, ab_low=([], "\n\nimport ab_high\n"), ab_high=(BOUNDED, ""))
    (finding,) = check_arrows(workspace)
    assert "ab_low -> ab_high (l.3)" in finding


def test_import_inside_a_function_counts(repository):
    workspace = repository(ARROWS, ab_low=([], "def late():\n    import ab_high\n"), ab_high=(BOUNDED, ""))
    (finding,) = check_arrows(workspace)
    assert "ab_low -> ab_high (l.2)" in finding


def test_type_checking_import_counts(repository):
    source = "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import ab_high\n"
    (finding,) = check_arrows(repository(ARROWS, ab_low=([], source), ab_high=(BOUNDED, "")))
    assert "ab_low -> ab_high (l.3)" in finding


def test_restricted_sibling_outside_its_module_is_found(repository):
    workspace = repository(ARROWS, ab_low=([], ""), ab_high=(BOUNDED, "import ab_low\n"))
    (finding,) = check_arrows(workspace)
    assert "ab_high -> ab_low (l.1)" in finding


def test_declaration_that_the_table_does_not_have_is_found(repository):
    workspace = repository(ARROWS, ab_low=(["ab-high>=0.1,<1"], ""), ab_high=(BOUNDED, ""))
    assert check_arrows(workspace) == [
        "packages/ab-low/pyproject.toml: declares ab-high, which arrows.toml does not",
    ]


def test_declaration_in_an_extra_is_an_arrow(repository):
    workspace = repository(ARROWS, extras='more = ["ab-high<1"]', ab_low=([], ""), ab_high=(BOUNDED, ""))
    assert "declares ab-high" in check_arrows(workspace)[0]


def test_missing_declaration_is_found(repository):
    workspace = repository(ARROWS, ab_low=([], ""), ab_high=([], ""))
    assert check_arrows(workspace) == [
        "packages/ab-high/pyproject.toml: does not declare ab-low, which arrows.toml does",
    ]


def test_distribution_without_an_entry_is_found(repository):
    workspace = repository(ARROWS, ab_low=([], ""), ab_high=(BOUNDED, ""), ab_new=([], ""))
    assert check_arrows(workspace) == ["arrows.toml: ab-new is missing"]


def test_range_without_upper_bound_is_found(repository):
    workspace = repository(ab_low=([], ""), ab_high=(["ab-low>=0.1"], ""))
    (finding,) = check_ranges(workspace)
    assert finding.startswith("packages/ab-high/pyproject.toml: ab-low>=0.1: has no upper bound")


def test_range_that_excludes_the_local_version_is_found(repository):
    workspace = repository(ab_low=([], ""), ab_high=(["ab-low>=0.2,<0.3"], ""))
    (finding,) = check_ranges(workspace)
    assert finding.endswith("does not admit the version here, 0.1.4")


def test_third_party_ranges_may_be_open(repository):
    assert check_ranges(repository(ab_low=(["numpy>=2"], ""))) == []
