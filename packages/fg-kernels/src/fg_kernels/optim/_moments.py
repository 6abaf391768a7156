"""The two moments of Adam as they are kept: in fp32, in bf16, or in 8 bits."""

from __future__ import annotations

from typing import TypeAlias

import torch
from torch import Tensor

from fg_kernels.errors import OperandError, UnknownOptionError
from fg_kernels.optim._update import Update
from fg_kernels.reference import dequantize_blockwise, quantize_blockwise
from fg_kernels.reference.quantization import block_count

StateDtype: TypeAlias = torch.dtype | str

BLOCK = 256
# Smaller tensors keep fp32 moments: they are norms and biases, whose moments cost little and matter much.
LEAST_QUANTIZED = 4096

_CODES = {"exp_avg": "dynamic", "exp_avg_sq": "dynamic_unsigned"}
_ZERO_CODES = {"exp_avg": 127, "exp_avg_sq": 0}
_NAMES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "8bit": torch.uint8}
STATE_DTYPES = frozenset(_NAMES.values())


def state_dtype_of(choice: StateDtype) -> torch.dtype:
    """The dtype that `choice` means, which a configuration file may spell as text.

    Raises:
        UnknownOptionError: a text that means none.
        OperandError: a dtype that moments cannot have.
    """
    if isinstance(choice, str):
        if choice not in _NAMES:
            raise UnknownOptionError("state_dtype", choice, _NAMES)
        return _NAMES[choice]
    if choice not in STATE_DTYPES:
        raise OperandError(f"state_dtype={choice}; valid: {', '.join(map(str, _NAMES.values()))}")
    return choice


def create_moments(update: Update, dtype: torch.dtype) -> None:
    """Put moments of zero into the state of a parameter that has none yet."""
    if "exp_avg" in update.state:
        return
    parameter = update.parameter
    if parameter.dtype == torch.float64:
        dtype = torch.float64
    elif dtype == torch.uint8 and parameter.numel() < LEAST_QUANTIZED:
        dtype = torch.float32
    for key, code in _ZERO_CODES.items():
        update.state[key] = torch.full_like(parameter, code if dtype == torch.uint8 else 0, dtype=dtype)
        if dtype == torch.uint8:
            blocks = block_count(parameter.numel(), BLOCK)
            update.state[f"{key}_scale"] = torch.zeros(blocks, dtype=torch.float32, device=parameter.device)


def read_moment(update: Update, key: str, dtype: torch.dtype) -> Tensor:
    """Return a moment in `dtype`: the state itself where it has that dtype."""
    moment = update.state[key]
    if moment.dtype != torch.uint8:
        return moment.to(dtype)
    return dequantize_blockwise(moment, update.state[f"{key}_scale"], block=BLOCK, code=_CODES[key])


def write_moment(update: Update, key: str, value: Tensor) -> None:
    """Keep a moment that `read_moment` returned and that has been changed in place."""
    moment = update.state[key]
    if moment.dtype == torch.uint8:
        codes, scales = quantize_blockwise(value, block=BLOCK, code=_CODES[key])
        moment.copy_(codes)
        update.state[f"{key}_scale"].copy_(scales)
    elif moment is not value:
        update.round_into(moment, value, key)
