"""Plain torch versions of everything in `fg_kernels.functional`: the definition of correct.

They take the same arguments, but for two: there is no `backend` to choose, and no `inplace_backward`, because autograd
decides where their gradients are written.
"""

from fg_kernels.reference.activation import geglu, swiglu
from fg_kernels.reference.cross_entropy import cross_entropy_
from fg_kernels.reference.linear_cross_entropy import linear_cross_entropy
from fg_kernels.reference.normalization import add_rms_norm, rms_norm
from fg_kernels.reference.quantization import dequantize_blockwise, quantize_blockwise
from fg_kernels.reference.rope_scaling import RopeFrequencies, rope_frequencies
from fg_kernels.reference.rotary import rope, rope_, rope_tables
from fg_kernels.reference.rounding import sr_add_, sr_copy_

__all__ = [
    "RopeFrequencies",
    "add_rms_norm",
    "cross_entropy_",
    "dequantize_blockwise",
    "geglu",
    "linear_cross_entropy",
    "quantize_blockwise",
    "rms_norm",
    "rope",
    "rope_",
    "rope_frequencies",
    "rope_tables",
    "sr_add_",
    "sr_copy_",
    "swiglu",
]
