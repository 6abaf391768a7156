"""Optimizers that train bf16 weights, and the one that combines others."""

from fg_kernels.optim._base import Optimizer
from fg_kernels.optim.adafactor import Adafactor
from fg_kernels.optim.adamw import AdamW
from fg_kernels.optim.apollo import Apollo
from fg_kernels.optim.multi import MultiOptimizer, make_re_multiopt
from fg_kernels.optim.muon import Muon
from fg_kernels.optim.sgd import SGD
from fg_kernels.optim.sinkgd import SinkGD

__all__ = [
    "SGD",
    "Adafactor",
    "AdamW",
    "Apollo",
    "MultiOptimizer",
    "Muon",
    "Optimizer",
    "SinkGD",
    "make_re_multiopt",
]
