"""Imports of generated files: grouped, ordered, broken over lines."""

from __future__ import annotations

import ast

from fg_models.import_lines import import_block


def test_groups_and_order_are_those_of_written_code():
    symbols = [("torch.nn", "SiLU"), ("torch", "nn"), (".rms_norm", "RMSNorm"), ("torch.nn", "Linear")]
    symbols += [("apex.normalization", "FusedRMSNorm"), ("functools", "partial"), ("torch.nn", "GELU"), ("math", "inf")]
    symbols += [("torch", "nn"), (".other", "RMSNorm as other_RMSNorm")]
    assert import_block(["torch", "operator"], symbols).splitlines() == [
        "import operator",
        "from functools import partial",
        "from math import inf",
        "",
        "import torch",
        "from apex.normalization import FusedRMSNorm",
        "from torch import nn",
        "from torch.nn import GELU, Linear, SiLU",
        "",
        "from .other import RMSNorm as other_RMSNorm",
        "from .rms_norm import RMSNorm",
    ]


def test_a_long_line_is_broken():
    names = [f"initializer_of_kind_{number}" for number in range(8)]
    text = import_block([], [(".init_weights", name) for name in names])
    assert max(map(len, text.splitlines())) <= 120
    (statement,) = ast.parse(text).body
    assert [each.name for each in statement.names] == names
