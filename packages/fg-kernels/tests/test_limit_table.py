"""The rules of the table of limits, on figures made up for the purpose."""

import json
import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fg_kernels.compiling.code import Compiled
from fg_kernels.compiling.limits import (
    Limit,
    Limits,
    broken_rules,
    findings,
    improved,
    limit_of,
    read_limits,
    write_limits,
)
from fg_kernels.compiling.report import Report, as_json
from fg_kernels.errors import CompiledCodeError
from fg_kernels.triton.cases import CompileCase
from fg_kernels.triton.launch import Config

GOOD = Compiled(registers=32, spilled=0, shared=1024, instructions=17.125, read=4.0, written=2.0, narrow=0.0, fused=0)
PLACE = ("copy BLOCK=8", 90)
TABLE = Limits("3.7.1", {PLACE: limit_of(GOOD)})
CASE = CompileCase(name="copy", kernel=None, signature={}, config=Config(blocks={"BLOCK": 8}), elements=8)


def test_a_report_in_json_has_null_where_a_figure_is_no_number():
    """Other readers than Python's know no NaN."""
    figures = replace(GOOD, instructions=math.inf, narrow=math.nan)
    printed = as_json(Report("3.7.1", {PLACE: figures}, ["copy: too much"], gated=True))
    (case,) = json.loads(printed, parse_constant=lambda word: pytest.fail(word))["cases"]
    assert (case["instructions"], case["narrow"], case["read"], case["bytes"]) == (None, None, 4.0, 6.0)


def test_the_key_of_a_case_holds_its_name_and_shape():
    assert CASE.key == "copy BLOCK=8 warps=4 stages=1"


@pytest.mark.parametrize(
    "change, message",
    [
        ({"spilled": 8}, "8 bytes of each thread are spilled"),
        ({"shared": 228 * 1024}, "233472 bytes of shared memory, sm_90 has 232448"),
        ({"fused": 3}, "3 multiplications and additions share a rounding"),
        ({"narrow": 0.5}, "0.5 of 6 bytes per element are moved one or two bytes at a time"),
    ],
)
def test_each_rule_says_what_broke_it(change, message):
    assert not list(broken_rules(CASE, 90, GOOD))
    (found,) = broken_rules(CASE, 90, replace(GOOD, **change))
    assert message in found


def test_a_case_can_be_free_of_two_rules():
    loose = replace(CASE, exact=False, wide=False)
    assert not list(broken_rules(loose, 90, replace(GOOD, fused=3, narrow=6.0)))


@pytest.mark.parametrize(
    "change, message",
    [
        ({"registers": 33}, "registers: 33, at most 32"),
        ({"instructions": 17.14}, "instructions: 17.14, at most 17.13"),
        ({"written": 2.01}, "bytes: 6.01, at most 6.0"),
    ],
)
def test_a_worse_figure_is_refused_with_the_old_and_the_new_value(change, message):
    worse = {PLACE: replace(GOOD, **change)}
    assert findings(worse, TABLE) == [f"copy BLOCK=8 sm_90: {message}"]
    with pytest.raises(CompiledCodeError, match=message):
        improved(worse, TABLE, "3.7.1")


def test_a_case_without_a_row_and_a_row_without_a_case_are_found():
    assert findings({("new", 80): GOOD}, TABLE) == [
        "new sm_80: has no row in the table of limits",
        "copy BLOCK=8 sm_90: the table of limits has a row, but there is no such case",
    ]


def test_an_update_adds_new_cases_lowers_and_removes():
    other = ("gone", 80)
    table = Limits("3.7.1", TABLE.rows | {other: Limit(1, 1.0, 1.0)})
    better = replace(GOOD, registers=30)
    updated = improved({PLACE: better, ("new", 80): GOOD}, table, "3.7.1")
    assert updated.rows == {PLACE: Limit(30, 17.13, 6.0), ("new", 80): Limit(32, 17.13, 6.0)}


def test_figures_of_another_version_do_not_update_the_table():
    with pytest.raises(CompiledCodeError, match=r"hold for triton 3\.7\.1, these figures come from 3\.8\.0"):
        improved({PLACE: GOOD}, TABLE, "3.8.0")


@given(st.integers(1, 255), st.floats(0.01, 1e4), st.floats(0.0001, 1e3), st.integers(1, 255), st.floats(0.01, 1e4))
def test_no_update_raises_a_limit(registers, instructions, read, fewer, less):
    before = limit_of(replace(GOOD, registers=registers, instructions=instructions, read=read))
    now = replace(GOOD, registers=min(fewer, registers), instructions=min(less, instructions), read=read)
    after = improved({PLACE: now}, Limits("3.7.1", {PLACE: before}), "3.7.1").rows[PLACE]
    assert all(new <= old for new, old in zip(after, before, strict=True))
    assert not findings({PLACE: now}, Limits("3.7.1", {PLACE: after}))


def test_the_table_survives_writing_and_reading(tmp_path):
    table = Limits("3.7.1", TABLE.rows | {("copy BLOCK=8", 120): Limit(40, 1.5, 2.25), ("a", 80): Limit(1, 2.0, 3.0)})
    write_limits(tmp_path / "limits.json", table)
    assert read_limits(tmp_path / "limits.json") == table
