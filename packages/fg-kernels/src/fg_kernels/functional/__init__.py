"""The operations, as functions: checked here, carried out by whom `fg_kernels.dispatch` chooses.

Each is registered with `torch.library` (`torch.ops.fg_kernels`), so that `torch.compile`, FakeTensor and memory
planning see it as one operation.
"""

from fg_kernels.functional.rounding import sr_add_, sr_copy_
from fg_kernels.reference import linear_cross_entropy

__all__ = [
    "linear_cross_entropy",
    "sr_add_",
    "sr_copy_",
]
