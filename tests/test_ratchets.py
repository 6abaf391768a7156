"""Ratchets: better is stored, worse is refused, free below the goal."""

from __future__ import annotations

import json

import pytest

from tools.checks import ratchets
from tools.checks.ratchets import check_ratchets, measure, update

LONG_FILE = "x = 1\n" * 401


def limits(workspace, **numbers):
    stored = {"long_files": {}, "long_functions": {}, "type_suppressions": 0, "broad_excepts": 0} | numbers
    (workspace.root / "tools" / "checks" / "ratchets.json").write_text(json.dumps(stored))


def stored(workspace):
    return json.loads((workspace.root / "tools" / "checks" / "ratchets.json").read_text())


@pytest.mark.parametrize(
    ("source", "finding"),
    [
        (LONG_FILE, "packages/ab-low/src/ab_low/__init__.py: 401 lines, at most 400 allowed"),
        ("def f():\n" + "    x = 1\n" * 60, "packages/ab-low/src/ab_low/__init__.py::f: 61 lines, at most 60 allowed"),
        ("try:\n    x = 1\nexcept Exception:\n    x = 2\n", "broad excepts: 1, at most 0 allowed"),
        ("try:\n    x = 1\nexcept (OSError, BaseException):\n    x = 2\n", "broad excepts: 1, at most 0 allowed"),
        ("x: int = ''  # pyrefly: ignore[bad-assignment]\n", "suppressed type errors: 1, at most 0 allowed"),
    ],
)
def test_new_offence_is_found(repository, source, finding):
    assert check_ratchets(repository(ab_low=([], source))) == [finding]


def test_typical_function_that_is_long_is_found(repository):
    source = "".join(f"def f{n}():\n" + "    x = 1\n" * 11 for n in range(3))
    assert check_ratchets(repository(ab_low=([], source))) == [
        f"function length, median: 12 lines, goal {ratchets.FUNCTION_MEDIAN_GOAL}"
    ]


def test_text_that_only_mentions_a_suppression_is_none(repository):
    assert check_ratchets(repository(ab_low=([], 'x = "# type: ignore"\n'))) == []


def test_cleaning_up_before_raising_again_is_no_broad_except(repository):
    source = "try:\n    x = 1\nexcept BaseException:\n    x = 2\n    raise\n"
    assert check_ratchets(repository(ab_low=([], source))) == []


def test_docstring_does_not_make_a_function_long(repository):
    source = 'def f():\n    """A\n' + "    text\n" * 70 + '    """\n    return 1\n'
    _, function_lines = measure(repository(ab_low=([], source)))
    assert function_lines == [2]


def test_recorded_offence_may_shrink_but_not_grow(repository):
    workspace, name = repository(ab_low=([], LONG_FILE)), "packages/ab-low/src/ab_low/__init__.py"
    limits(workspace, long_files={name: 410})
    assert check_ratchets(workspace) == []
    update(workspace)
    assert stored(workspace)["long_files"] == {name: 401}
    (workspace.root / name).write_text(LONG_FILE + "x = 2\n")
    update(workspace)
    assert check_ratchets(workspace) == [f"{name}: 402 lines, at most 401 allowed"]


def test_update_never_admits_a_new_offence(repository):
    workspace = repository(ab_low=([], LONG_FILE))
    limits(workspace, broad_excepts=3)
    update(workspace)
    assert stored(workspace)["broad_excepts"] == 0
    assert stored(workspace)["long_files"] == {}
