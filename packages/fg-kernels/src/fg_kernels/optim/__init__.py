"""Optimizers that train bf16 weights, and the one that combines others."""

from fg_kernels.optim._base import Optimizer
from fg_kernels.optim.adafactor import Adafactor
from fg_kernels.optim.adamw import AdamW
from fg_kernels.optim.multi import MultiOptimizer, make_re_multiopt
from fg_kernels.optim.muon import Muon

__all__ = [
    "Adafactor",
    "AdamW",
    "MultiOptimizer",
    "Muon",
    "Optimizer",
    "make_re_multiopt",
]
