"""Reading compiled code: loops, and which threads reach which addresses, in code written by hand."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fg_kernels.compiling.code import instructions_of
from fg_kernels.compiling.flow import STRAIGHT, UNREACHABLE, loops_of
from fg_kernels.compiling.lanes import UNKNOWN, Lanes, combine, constant, join, unknown_but_equal
from fg_kernels.compiling.ptx import parse_ptx
from fg_kernels.compiling.sass import parse_sass
from fg_kernels.compiling.traffic import Traffic, traffic_of
from fg_kernels.errors import CompiledCodeError

THREADS = 64


def kernel(*lines: str) -> str:
    body = "\n".join(f"\t{line};" if not line.endswith(":") else line for line in lines)
    return f".visible .entry test(\n\t.param .u64 test_param_0\n)\n{{\n\t.reg .pred %p<9>;\n{body}\n\tret;\n}}\n"


START = ("ld.param.b64 %rd1, [test_param_0]", "mov.u32 %r1, %tid.x")


def moved(*lines: str, trips=()) -> Traffic:
    return traffic_of(kernel(*START, *lines), THREADS, trips)


def test_each_thread_at_an_address_of_its_own_counts():
    assert moved("mad.wide.u32 %rd2, %r1, 16, %rd1", "ld.global.v4.b32 {%r2, %r3, %r4, %r5}, [%rd2]").read == 16 * 64


def test_threads_at_one_address_count_once():
    assert moved("ld.global.b64 %rd2, [%rd1+8]").read == 8


def test_a_pointer_from_a_table_is_equal_in_all_threads():
    found = moved("ld.global.b64 %rd2, [%rd1]", "mad.wide.u32 %rd3, %r1, 4, %rd2", "st.global.b32 [%rd3], %r1")
    assert found == Traffic(read=8, written=4 * 64, narrow=0)


def test_groups_of_threads_that_share_an_address_count_once_each():
    """Four lanes read each number: by shifting, by masking, and by cutting out bits."""
    for line in ("shr.u32 %r2, %r1, 2", "and.b32 %r2, %r1, 15", "bfe.u32 %r2, %r1, 2, 4"):
        assert moved(line, "mad.wide.u32 %rd2, %r2, 4, %rd1", "ld.global.b32 %r3, [%rd2]").read == 4 * 16


def test_addresses_that_nothing_is_known_of_count_for_every_thread():
    lines = ("mad.wide.u32 %rd2, %r1, 4, %rd1", "ld.global.b32 %r2, [%rd2]", "mad.wide.u32 %rd3, %r2, 2, %rd1")
    assert moved(*lines, "ld.global.b16 %rs1, [%rd3]") == Traffic(read=4 * 64 + 2 * 64, written=0, narrow=2 * 64)


def test_threads_that_a_predicate_switches_off_are_not_counted():
    """The first eight threads write; whether the tile is full is open, and counts as yes."""
    lines = (
        "setp.lt.u32 %p1, %r1, 8",
        "ld.param.b32 %r9, [test_param_1]",
        "setp.lt.s32 %p2, %r1, %r9",
        "and.pred %p3, %p1, %p2",
        "mad.wide.u32 %rd2, %r1, 4, %rd1",
    )
    assert moved(*lines, "@%p3 st.global.b32 [%rd2], %r1").written == 4 * 8
    assert moved(*lines, "@%p2 st.global.b32 [%rd2], %r1").written == 4 * 64
    assert moved(*lines, "@!%p1 st.global.b32 [%rd2], %r1").written == 4 * 56


def test_pointers_that_move_on_in_a_loop_stay_apart():
    lines = (
        "mad.wide.u32 %rd2, %r1, 4, %rd1",
        "$L__BB0_1:",
        "ld.global.b32 %r2, [%rd2]",
        "add.s64 %rd2, %rd2, 256",
        "setp.ne.b64 %p1, %rd2, %rd9",
        "@%p1 bra $L__BB0_1",
    )
    assert moved(*lines, trips=(10,)).read == 10 * 4 * 64
    with pytest.raises(CompiledCodeError, match="has 1 loops"):
        moved(*lines)


@pytest.mark.parametrize("line", ["ld.b32 %r2, [%rd1]", "cp.async.bulk.shared.global [%r1], [%rd1], 16, [%r2]"])
def test_what_cannot_be_counted_is_refused(line):
    with pytest.raises(CompiledCodeError, match=line.split()[0]):
        moved(line)


def test_comments_scopes_and_directives_are_no_instructions():
    text = kernel("{ .reg .b32 t; mov.b32 t, 0", "} // done", ".loc 1 2 3", "bar.sync 0")
    assert [each.opcode for each in parse_ptx(text).instructions] == ["mov.b32", "bar.sync", "ret"]


def test_loops_are_numbered_by_their_headers_and_the_inner_one_wins():
    """0 → 1 → 2 → 2 (inner) → 3 → 1 (outer) → 4 → 4 → 5; 6 is never reached."""
    successors = [[1], [2], [2, 3], [1, 4], [4, 5], [], [1]]
    assert loops_of(successors) == [STRAIGHT, 0, 1, 0, 2, STRAIGHT, UNREACHABLE]


def test_a_jump_back_from_a_rare_case_is_no_loop():
    """0 goes to 1 or to 3, which returns to 1: 1 can be reached without 3."""
    assert loops_of([[1, 3], [2], [], [1]]) == [STRAIGHT] * 4


@given(st.lists(st.lists(st.integers(0, 11), max_size=2), min_size=12, max_size=12))
def test_every_reachable_instruction_is_told_from_the_others(successors):
    loops = loops_of(successors)
    seen, waiting = set(), [0]
    while waiting:
        if (index := waiting.pop()) not in seen:
            seen.add(index)
            waiting += successors[index]
    assert {index for index, loop in enumerate(loops) if loop != UNREACHABLE} == seen


SASS = """
.text.test:
        /*0000*/                   S2R R0, SR_TID.X ;
        /*0010*/              @!P0 BRA `(.L_x_1) ;
.L_x_0:
        /*0020*/                   FADD R1, R1, R2 ;
        /*0030*/               @P0 BRA `(.L_x_0) ;
.L_x_1:
        /*0040*/                   CALL.REL.NOINC `(slow) ;
        /*0050*/                   EXIT ;
slow:
        /*0060*/                   MUFU.RCP R0, R0 ;
        /*0070*/                   RET.REL.NODEC R2 `(test) ;
.L_x_2:
        /*0080*/                   BRA `(.L_x_2);
        /*0090*/                   NOP;
"""


def test_instructions_are_weighed_by_their_loop_and_rare_cases_left_out():
    """Two before the loop, two in it, call and exit after it; neither the callee nor the padding."""
    assert instructions_of(parse_sass(SASS), (100,)) == 2 + 2 * 100 + 2


OPERATIONS = {
    "add": np.add,
    "sub": np.subtract,
    "mul": np.multiply,
    "and": np.bitwise_and,
    "or": np.bitwise_or,
    "xor": np.bitwise_xor,
    "min": np.minimum,
    "max": np.maximum,
}
NUMBERS = st.integers(0, 2**20)
VALUES = st.lists(NUMBERS, min_size=4, max_size=4)


@given(st.sampled_from(sorted(OPERATIONS)), VALUES, VALUES)
def test_known_numbers_are_computed(operation, first, second):
    one, other = np.array(first), np.array(second)
    assert (combine(operation, (Lanes(one), Lanes(other))).offsets == OPERATIONS[operation](one, other)).all()


@given(st.sampled_from(["add", "sub", "mul"]), VALUES, NUMBERS, NUMBERS)
def test_what_is_said_of_sums_with_an_unknown_part_holds_for_any_number(operation, offsets, unknown, factor):
    """Differences between threads are those that the offsets tell."""
    values = np.array(offsets)
    result = combine(operation, (Lanes(values, base=True), constant(factor, 4)))
    actual = OPERATIONS[operation](values + unknown, np.full(4, factor))
    assert result.offsets is not None
    assert (np.diff(result.offsets) == np.diff(actual)).all()


@given(VALUES, NUMBERS)
def test_join_keeps_what_both_say(values, distance):
    one = Lanes(np.array(values))
    assert join(one, one) is one
    moved_on = join(one, combine("add", (one, constant(distance, 4))))
    assert moved_on.offsets is not None
    assert moved_on.base == (distance != 0)
    assert join(one, UNKNOWN) is UNKNOWN


def test_a_product_of_two_unknown_numbers_is_equal_or_unknown():
    equal, lanes = unknown_but_equal(4), Lanes(np.arange(4), base=True)
    assert combine("mul", (equal, equal)).uniform
    assert combine("mul", (equal, lanes)) is UNKNOWN
