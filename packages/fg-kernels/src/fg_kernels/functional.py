"""The operations, as functions. All of them run the plain torch reference today."""

from fg_kernels.reference import linear_cross_entropy, sr_add_, sr_copy_

__all__ = [
    "linear_cross_entropy",
    "sr_add_",
    "sr_copy_",
]
