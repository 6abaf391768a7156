"""Bytes, instructions and loops of compiled kernels that can be counted by hand."""

import pytest
import triton
import triton.language as tl

from fg_kernels.compiling.code import WARP, code_of, compile_case
from fg_kernels.compiling.traffic import accesses_of, traffic_of
from fg_kernels.errors import CompiledCodeError
from fg_kernels.triton.cases import ARCHITECTURES, CompileCase, compile_cases
from fg_kernels.triton.launch import Config

BLOCK, ROWS, WARPS = 2048, 64, 4


@triton.jit
def add_rows(dst, src, vector, columns, rows, BLOCK: tl.constexpr):
    """dst = src + vector for rows of one block; the vector is read once, before the loop."""
    column = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    inside = column < columns
    added = tl.load(vector + column, mask=inside)
    for row in range(rows):
        place = row * columns + column
        tl.store(dst + place, tl.load(src + place, mask=inside) + added, mask=inside)


@triton.jit
def row_sums(dst, src, columns, BLOCK: tl.constexpr, ROWS: tl.constexpr):
    """One sum for each of a few rows: all threads hold it, few may write it."""
    row = tl.program_id(0) * ROWS + tl.arange(0, ROWS)
    column = tl.arange(0, BLOCK)
    values = tl.load(src + row[:, None] * columns + column[None, :])
    tl.store(dst + row, tl.sum(values, axis=1))


@triton.jit
def two_loops(dst, src, rows, others, columns, BLOCK: tl.constexpr):
    """Reads `rows` rows in a first loop, writes `others` in a second."""
    column = tl.arange(0, BLOCK)
    total = tl.zeros((BLOCK,), tl.float32)
    for row in range(rows):
        total += tl.load(src + row * columns + column)
    for row in range(others):
        tl.store(dst + row * columns + column, total)


@triton.jit
def gather(dst, src, index, BLOCK: tl.constexpr):
    """What each thread reads depends on memory: nothing is known of the addresses."""
    place = tl.arange(0, BLOCK)
    tl.store(dst + place, tl.load(src + tl.load(index + place)))


@triton.jit
def scalar_copy(dst, src, BLOCK: tl.constexpr):
    place = tl.arange(0, BLOCK)
    tl.store(dst + place, tl.load(src + place))


@triton.jit
def multiply_add(dst, src, BLOCK: tl.constexpr):
    place = tl.arange(0, BLOCK)
    value = tl.load(src + place)
    tl.store(dst + place, value * value + value)


def case(kernel, signature, *, trips=(), elements=BLOCK, divisible=None, **blocks) -> CompileCase:
    aligned = frozenset(signature) if divisible is None else divisible
    config = Config(blocks={"BLOCK": BLOCK} | blocks, num_warps=WARPS)
    return CompileCase(
        name="test",
        kernel=kernel,
        signature=signature,
        config=config,
        elements=elements,
        trips=trips,
        divisible=aligned,
    )


POINTERS = {"dst": "*fp32", "src": "*fp32"}
ADD_ROWS = POINTERS | {"vector": "*fp32", "columns": "i32", "rows": "i32"}


@pytest.mark.parametrize("arch", ARCHITECTURES)
def test_rounding_fp32_to_bf16_moves_six_bytes_per_element(arch):
    """4 read, 2 written; besides, each program reads the update number, 8 bytes."""
    found = {each.name: each for each in compile_cases(arch)}["sr_copy"]
    compiled = compile_case(found, arch)
    assert compiled.written == 2
    assert compiled.read == 4 + 8 / found.elements
    assert compiled.narrow == 0


@pytest.mark.parametrize("arch", [80, 90, 120])
def test_a_loop_counts_as_often_as_it_runs(arch):
    """Rows are read and written in the loop, the vector before it."""
    compiled = compile_case(case(add_rows, ADD_ROWS, trips=(ROWS,), elements=BLOCK * ROWS), arch)
    assert compiled.read * BLOCK * ROWS == 4 * BLOCK * ROWS + 4 * BLOCK
    assert compiled.written * BLOCK * ROWS == 4 * BLOCK * ROWS


def test_instructions_grow_with_the_trips_by_the_loop_body():
    few, more, most = (
        compile_case(case(add_rows, ADD_ROWS, trips=(trips,), elements=1), 90).instructions for trips in (1, 2, 102)
    )
    assert more - few > 0
    assert most - more == 100 * (more - few)


@pytest.mark.parametrize("arch", [80, 90, 120])
def test_two_loops_are_told_apart_by_their_order(arch):
    signature = POINTERS | {"rows": "i32", "others": "i32", "columns": "i32"}
    code = code_of(case(two_loops, signature, trips=(7, 3)), arch)
    traffic = traffic_of(code.ptx, WARPS * WARP, (7, 3))
    assert (traffic.read, traffic.written) == (7 * 4 * BLOCK, 3 * 4 * BLOCK)


def test_a_sum_that_all_threads_hold_is_written_once():
    compiled = compile_case(case(row_sums, POINTERS | {"columns": "i32"}, ROWS=2, elements=1), 90)
    assert compiled.read == 2 * BLOCK * 4
    assert compiled.written == 2 * 4
    assert compiled.shared > 0


def test_addresses_that_come_from_memory_count_for_every_thread():
    compiled = compile_case(case(gather, POINTERS | {"index": "*i32"}), 90)
    assert (compiled.read, compiled.written) == (8, 4)


@pytest.mark.parametrize("kind, aligned, narrow", [("*i16", True, 0), ("*i16", False, 4), ("*i8", False, 2)])
def test_loads_of_single_numbers_are_seen(kind, aligned, narrow):
    """Without a word on alignment each thread moves its numbers one by one."""
    divisible = frozenset({"dst", "src"}) if aligned else frozenset()
    assert compile_case(case(scalar_copy, {"dst": kind, "src": kind}, divisible=divisible), 90).narrow == narrow


def test_launch_options_keep_multiplication_and_addition_apart():
    separate = case(multiply_add, POINTERS)
    assert compile_case(separate, 90).fused == 0
    assert "FFMA" not in code_of(separate, 90).sass


@pytest.mark.parametrize("trips", [(), (1, 1)])
def test_a_case_with_the_wrong_number_of_loops_is_refused(trips):
    with pytest.raises(CompiledCodeError, match=r"has 1 loops, but the case gives trips="):
        compile_case(case(add_rows, ADD_ROWS, trips=trips), 90)


def test_every_access_of_a_loop_says_that_it_is_in_the_loop():
    accesses, loops = accesses_of(code_of(case(add_rows, ADD_ROWS, trips=(1,)), 90).ptx, WARPS * WARP)
    assert loops == 1
    assert {access.opcode[:2]: access.loop for access in accesses if access.loop >= 0} == {"ld": 0, "st": 0}
