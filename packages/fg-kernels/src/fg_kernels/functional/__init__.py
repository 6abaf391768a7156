"""The operations, as functions: checked here, carried out by whom `fg_kernels.dispatch` chooses.

Each is registered with `torch.library` (`torch.ops.fg_kernels`), so that `torch.compile`, FakeTensor and memory
planning see it as one operation.
"""

from fg_kernels.functional.activation import geglu, swiglu
from fg_kernels.functional.cross_entropy import cross_entropy_
from fg_kernels.functional.linear_cross_entropy import linear_cross_entropy
from fg_kernels.functional.normalization import add_rms_norm, rms_norm
from fg_kernels.functional.quantization import dequantize_blockwise, quantize_blockwise
from fg_kernels.functional.rotary import rope, rope_
from fg_kernels.functional.rounding import sr_add_, sr_copy_
from fg_kernels.reference import RopeFrequencies, rope_frequencies, rope_tables

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
