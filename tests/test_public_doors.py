"""The checks of public names, light imports and the README's table find what they are for."""

from __future__ import annotations

import pytest

from tools.checks.public_names import check_light_imports, check_public_names
from tools.checks.readme import HEADING, check_change_table
from tools.workspace import load_workspace

DOOR = '__all__ = [\n    "first",\n    "second",\n]\nfirst = 1\nsecond = 2\n'
PAGE = "# ab-low\n\n## Public names\n\n- `first`: one\n- `second(n)`: two\n\n## Other\n\n- `third`: not a public name\n"


def test_door_that_equals_its_documentation_passes(repository):
    workspace = repository(ab_low=([], DOOR))
    workspace.named("ab-low").folder.joinpath("README.md").write_text(PAGE)
    assert check_public_names(workspace) == []


@pytest.mark.parametrize(
    ("page", "door", "finding"),
    [
        (PAGE.replace("- `second(n)`: two\n", ""), DOOR, "second is in __all__ but not below 'Public names'"),
        (PAGE, DOOR.replace('    "second",\n', ""), "README.md documents second, which is not in __all__"),
        (PAGE, DOOR.replace("second = 2", ""), "second: module 'ab_low' has no attribute 'second'"),
        (PAGE, "first = 1\n", "assigns no literal list to __all__"),
    ],
    ids=["undocumented", "not exported", "unresolved", "no list"],
)
def test_difference_between_door_and_documentation_is_found(repository, page, door, finding):
    workspace = repository(ab_low=([], door))
    workspace.named("ab-low").folder.joinpath("README.md").write_text(page)
    assert finding in "\n".join(check_public_names(workspace))


def test_lazy_name_whose_module_is_missing_is_found(repository):
    door = '__all__ = [\n    "late",\n]\n\ndef __getattr__(name):\n    from ab_low._gone import late\n    return late\n'
    workspace = repository(ab_low=([], door))
    workspace.named("ab-low").folder.joinpath("README.md").write_text("## Public names\n- `late`: x\n")
    assert "late: No module named 'ab_low._gone'" in check_public_names(workspace)[0]


def test_missing_readme_is_found(repository):
    assert check_public_names(repository(ab_low=([], DOOR))) == ["ab-low: README.md is missing"]


def test_door_that_loads_torch_is_found(repository):
    assert check_light_imports(repository(ab_low=([], "import torch\n"))) == ["ab-low: import ab_low loads torch"]


def test_command_line_that_loads_torch_is_found(repository):
    workspace = repository(ab_low=([], ""))
    workspace.named("ab-low").package.joinpath("commands.py").write_text("import torch.nn\n")
    assert check_light_imports(workspace) == ["ab-low: import ab_low.commands loads torch"]


def change_table(workspace, *rows):
    text = "\n".join([f"## {HEADING}", "", "| change | distribution | files | test |", "| - | - | - | - |", *rows])
    (workspace.root / "README.md").write_text(text + "\n")
    return check_change_table(workspace)


def test_table_of_this_repository_leads_somewhere():
    assert check_change_table(load_workspace()) == []


def test_row_that_leads_somewhere_passes(repository):
    row = "| it | `ab-low` | `packages/ab-low/src/ab_low/__init__.py` | `hatch run test ab-low` |"
    assert change_table(repository(ab_low=([], "")), row) == []


@pytest.mark.parametrize(
    ("row", "finding"),
    [
        ("| it | `ab-low` | `packages/gone.py` | `hatch run test ab-low` |", "packages/gone.py does not exist"),
        ("| it | `ab-lower` | `packages` | `hatch run test ab-low` |", "no distribution is named ab-lower"),
        ("| it | `ab-low` | `packages` | `hatch run test ab-lo` |", "ab-lo is no suite or path"),
        ("| it | `ab-low` | `packages` | `pytest` |", "does not begin with"),
        ("| it | `ab-low` | somewhere | `hatch run test` |", "names no file"),
        ("| it | `ab-low` | `packages` |", "a row has four cells, not 3"),
    ],
)
def test_row_that_leads_nowhere_is_found(repository, row, finding):
    assert finding in "\n".join(change_table(repository(ab_low=([], "")), row))


def test_distribution_without_a_row_is_found(repository):
    row = "| it | `ab-low` | `packages` | `hatch run test` |"
    findings = change_table(repository(ab_low=([], ""), ab_new=([], "")), row)
    assert findings == [f"README.md: ab-new has no row below {HEADING!r}"]


def test_readme_without_the_table_is_found(repository):
    assert "no table" in change_table(repository(ab_low=([], "")))[0]
