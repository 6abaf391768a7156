"""`forgather kernels check` tries Triton's interpreter too where it is switched on."""

import pytest
import torch

from fg_kernels.measuring.contracts import places
from fg_kernels.measuring.promises import PROMISES, Place

INTERPRETER = Place(backend="interpret", device=torch.device("cpu"))


def test_the_interpreter_is_a_place_of_its_own():
    assert INTERPRETER in places()


@pytest.mark.parametrize("op", ["sr_add_", "adamw", "adafactor", "sgd"])
def test_kernels_keep_their_promises(op):
    findings = list(PROMISES[op](op, INTERPRETER))
    assert findings and all(finding.kept for finding in findings), findings
