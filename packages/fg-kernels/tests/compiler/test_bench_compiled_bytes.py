"""The benchmark shows what the compiled kernels move beside what torch dispatches for their peers."""

import pytest
import torch

from fg_kernels.measuring.bench import Plan, measured
from fg_kernels.measuring.calibration import Peaks
from fg_kernels.measuring.optimizers import compiled_bytes

CPU = torch.device("cpu")


def test_adafactor_beside_torchs_in_one_table():
    """Ten bytes are three readings of the gradient and both ways of the weight."""
    plan = Plan(device=CPU, rounds=1, ops=("adafactor",), quick=True)
    rows = measured(plan.cases()[0], plan, Peaks(1.0, 1.0, "float32"))
    figures = {row["contender"]: row for row in rows}
    assert 10 <= figures["fg_kernels"]["compiled bytes per element"] <= 10.05
    assert figures["torch foreach"]["moved bytes per element"] == pytest.approx(38, abs=0.1)
    assert "compiled bytes per element" not in figures["torch foreach"]


def test_nothing_is_compiled_for_nobody():
    assert compiled_bytes("") == {}
