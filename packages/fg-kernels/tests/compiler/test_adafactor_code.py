"""What the three launches of Adafactor move and run for each parameter, counted from their compiled code."""

import pytest

from fg_kernels.compiling.code import compile_case
from fg_kernels.triton.adafactor import compile_cases

LAUNCHES = ("adafactor_sums/bf16", "adafactor_norms/bf16", "adafactor_apply/bf16-bf16-sr")


@pytest.fixture(scope="module")
def compiled():
    cases = {case.name: case for case in compile_cases(90)}
    return {name: compile_case(cases[name], 90) for name in LAUNCHES}


def test_ten_bytes_for_a_parameter_and_little_more(compiled):
    """The gradient three times, the parameter twice; a twentieth of a byte for factors and sums."""
    assert 10.0 < sum(code.bytes for code in compiled.values()) <= 10.05


def test_noise_and_update_fit_into_the_time_that_memory_takes(compiled):
    assert compiled["adafactor_apply/bf16-bf16-sr"].instructions <= 25
    assert all(code.spilled == 0 and code.fused == 0 for code in compiled.values())
