"""Optimizers with stochastic rounding and losses without logits, each with a plain torch reference.

Importing this package imports nothing heavy: every name below is loaded when it is first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from fg_kernels.__about__ import __version__

if TYPE_CHECKING:
    from fg_kernels.errors import (
        GradientError,
        HyperparameterError,
        KernelError,
        OperandError,
        ParameterGroupError,
        StateMismatchError,
        UnknownOptionError,
    )
    from fg_kernels.functional import (
        RopeFrequencies,
        add_rms_norm,
        cross_entropy_,
        dequantize_blockwise,
        geglu,
        linear_cross_entropy,
        quantize_blockwise,
        rms_norm,
        rope,
        rope_,
        rope_frequencies,
        rope_tables,
        sr_add_,
        sr_copy_,
        swiglu,
    )
    from fg_kernels.layers import RMSNorm, SwiGLU
    from fg_kernels.memory import OptimizerInBackward
    from fg_kernels.nn import LinearCrossEntropyLoss, causal_lm_loss
    from fg_kernels.optim import (
        SGD,
        Adafactor,
        AdamW,
        Apollo,
        MultiOptimizer,
        Muon,
        Optimizer,
        SinkGD,
        make_re_multiopt,
    )

__all__ = [
    "SGD",
    "Adafactor",
    "AdamW",
    "Apollo",
    "GradientError",
    "HyperparameterError",
    "KernelError",
    "LinearCrossEntropyLoss",
    "MultiOptimizer",
    "Muon",
    "OperandError",
    "Optimizer",
    "OptimizerInBackward",
    "ParameterGroupError",
    "RMSNorm",
    "RopeFrequencies",
    "SinkGD",
    "StateMismatchError",
    "SwiGLU",
    "UnknownOptionError",
    "__version__",
    "add_rms_norm",
    "causal_lm_loss",
    "cross_entropy_",
    "dequantize_blockwise",
    "geglu",
    "linear_cross_entropy",
    "make_re_multiopt",
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

_MODULES = {
    "Adafactor": "optim",
    "AdamW": "optim",
    "Apollo": "optim",
    "GradientError": "errors",
    "HyperparameterError": "errors",
    "KernelError": "errors",
    "LinearCrossEntropyLoss": "nn",
    "MultiOptimizer": "optim",
    "Muon": "optim",
    "OperandError": "errors",
    "Optimizer": "optim",
    "OptimizerInBackward": "memory",
    "ParameterGroupError": "errors",
    "RMSNorm": "layers",
    "RopeFrequencies": "functional",
    "SGD": "optim",
    "SinkGD": "optim",
    "StateMismatchError": "errors",
    "SwiGLU": "layers",
    "UnknownOptionError": "errors",
    "add_rms_norm": "functional",
    "causal_lm_loss": "nn",
    "cross_entropy_": "functional",
    "dequantize_blockwise": "functional",
    "geglu": "functional",
    "linear_cross_entropy": "functional",
    "make_re_multiopt": "optim",
    "quantize_blockwise": "functional",
    "rms_norm": "functional",
    "rope": "functional",
    "rope_": "functional",
    "rope_frequencies": "functional",
    "rope_tables": "functional",
    "sr_add_": "functional",
    "sr_copy_": "functional",
    "swiglu": "functional",
}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
