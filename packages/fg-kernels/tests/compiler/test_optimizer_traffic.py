"""Bytes of whole optimizer steps, from compiled code, against what the methods must move."""

import pytest

from fg_kernels.compiling.optimizers import STEPS, optimizer_traffic, traffic_text


@pytest.fixture(scope="module")
def traffic():
    return optimizer_traffic()


@pytest.mark.parametrize("optimizer", STEPS)
def test_no_step_moves_less_than_its_streams(traffic, optimizer):
    """Less would mean that something was not counted."""
    assert traffic[optimizer].bytes >= traffic[optimizer].streams


def test_adafactor_reads_the_gradient_three_times_and_little_else(traffic):
    step = traffic["Adafactor"]
    assert step.launches == 3
    assert 10 <= step.bytes <= 10.05
    assert 2 <= step.written < 2.01


def test_adafactor_for_one_matrix_passes_column_sums_on_and_reads_factors_in_every_program(traffic):
    """Sums of cells of 32 rows: 4 bytes of 32 parameters, written and read; the rest of it stays in the cache."""
    step = traffic["Adafactor, one matrix"]
    assert step.launches == 4
    assert 10 + 2 * 4 / 32 <= step.bytes <= 11
    assert 2 + 4 / 32 <= step.written < 2.3


@pytest.mark.parametrize(
    "optimizer, least", [("AdamW", 22), ("AdamW, bf16 state", 14), ("SGD", 6), ("SGD, momentum", 14)]
)
def test_elementwise_optimizers_move_their_streams_in_one_launch(traffic, optimizer, least):
    assert traffic[optimizer].launches == 1
    assert least <= traffic[optimizer].bytes < least + 0.1


def test_the_8_bit_state_comes_with_a_scale_for_each_block_of_256(traffic):
    scales = 2 * 2 * 4 / 256
    assert 10 + scales <= traffic["AdamW, 8-bit state"].bytes < 10 + scales + 0.1


def test_the_table_names_every_optimizer(traffic):
    lines = traffic_text(traffic).splitlines()
    assert len(lines) == 1 + len(STEPS)
    assert "10.0" in next(line for line in lines if line.startswith("Adafactor"))
