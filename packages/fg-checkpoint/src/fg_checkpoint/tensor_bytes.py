"""Tensors and arrays as bytes, under the dtype names of the safetensors format."""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray

from fg_checkpoint.safetensors_io import RawTensor, TensorEntry

Array: TypeAlias = torch.Tensor | NDArray[Any]

TORCH_NAMES: dict[torch.dtype, str] = {
    torch.float64: "F64",
    torch.float32: "F32",
    torch.float16: "F16",
    torch.bfloat16: "BF16",
    torch.float8_e4m3fn: "F8_E4M3",
    torch.float8_e4m3fnuz: "F8_E4M3FNUZ",
    torch.float8_e5m2: "F8_E5M2",
    torch.float8_e5m2fnuz: "F8_E5M2FNUZ",
    torch.float8_e8m0fnu: "F8_E8M0",
    torch.complex64: "C64",
    torch.int64: "I64",
    torch.int32: "I32",
    torch.int16: "I16",
    torch.int8: "I8",
    torch.uint64: "U64",
    torch.uint32: "U32",
    torch.uint16: "U16",
    torch.uint8: "U8",
    torch.bool: "BOOL",
}
NUMPY_NAMES: dict[np.dtype[Any], str] = {
    np.dtype(code): name
    for code, name in {
        "f8": "F64", "f4": "F32", "f2": "F16", "c8": "C64", "i8": "I64", "i4": "I32", "i2": "I16", "i1": "I8",
        "u8": "U64", "u4": "U32", "u2": "U16", "u1": "U8", "?": "BOOL",
    }.items()
}  # fmt: skip
_TORCH_DTYPES = {name: dtype for dtype, name in TORCH_NAMES.items()}
_NUMPY_DTYPES = {name: dtype for dtype, name in NUMPY_NAMES.items()}


def why_not_storable(value: Array) -> str | None:
    """The reason why this tensor or array has no exact form in the format, or None when it has one."""
    if isinstance(value, np.ndarray):
        return None if value.dtype in NUMPY_NAMES else f"numpy dtype {value.dtype}"
    if type(value).__torch_dispatch__ is not torch.Tensor.__torch_dispatch__:
        return f"a {type(value).__name__}; give its local part or the full tensor instead"
    if value.layout is not torch.strided or value.is_quantized:
        return f"a tensor with layout {value.layout}" if not value.is_quantized else "a quantized tensor"
    if value.is_meta:
        return "a tensor on the meta device, which has no values"
    return None if value.dtype in TORCH_NAMES else f"dtype {value.dtype}"


def memory_of(value: Array) -> tuple[Any, ...] | None:
    """A key that is equal for two names of the very same memory; None for empty values, which share nothing."""
    if isinstance(value, np.ndarray):
        address: Any = ("numpy", value.__array_interface__["data"][0], value.strides)
    else:
        address = (str(value.device), value.data_ptr(), value.stride(), value.is_conj(), value.is_neg())
    return (address, tuple(value.shape), value.dtype) if 0 not in value.shape else None


def isolated_copy(value: Array) -> Array:
    """A copy in host memory that later in-place updates of `value` cannot reach."""
    if isinstance(value, np.ndarray):
        return value.copy()
    return torch.empty_like(value, device="cpu", requires_grad=False).copy_(value.detach())


def host_bytes(value: Array) -> memoryview:
    """The values as contiguous bytes; no copy when they are contiguous in host memory already."""
    if isinstance(value, np.ndarray):
        return np.ascontiguousarray(value).reshape(-1).view(np.uint8).data
    host = value.detach().resolve_conj().resolve_neg().cpu().contiguous()
    return host.reshape(-1).view(torch.uint8).numpy().data


def entry(name: str, value: Array) -> TensorEntry:
    """What the writer needs to know; the bytes are fetched (from a device, perhaps) only when their turn comes."""
    dtype = NUMPY_NAMES[value.dtype] if isinstance(value, np.ndarray) else TORCH_NAMES[value.dtype]
    return TensorEntry(name=name, dtype=dtype, shape=tuple(value.shape), read=lambda: host_bytes(value))


def as_torch(raw: RawTensor) -> torch.Tensor:
    """The tensor, on the memory of `raw` (no copy)."""
    dtype = _TORCH_DTYPES[raw.dtype]
    if not raw.data.size:
        return torch.empty(raw.shape, dtype=dtype)  # torch refuses to view no bytes as another dtype
    return torch.from_numpy(raw.data).view(dtype).reshape(raw.shape)


def as_numpy(raw: RawTensor) -> NDArray[Any]:
    """The array, on the memory of `raw` (no copy)."""
    return raw.data.view(_NUMPY_DTYPES[raw.dtype]).reshape(raw.shape)
