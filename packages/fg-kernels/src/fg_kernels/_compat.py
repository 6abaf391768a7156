"""Everything that torch does not promise to keep, in one place; a test calls each of them on the installed version.

Written for torch 2.11, the oldest that the package accepts, to 2.13; the test tells what a later one has changed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar, cast

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

__all__ = [
    "TorchDispatchMode",
    "add_to_each",
    "allocations",
    "constant_in_graphs",
    "is_fake",
    "local_shape_and_offset",
    "may_change_in_place",
    "newton_schulz",
    "norms_of",
    "outside_graphs",
    "run_body",
]

Function = TypeVar("Function", bound=Callable[..., Any])


def constant_in_graphs(function: Function) -> Function:
    """`torch.compiler.assume_constant_result`, without importing the compiler: that takes longer than torch's rest."""
    cast(Any, function)._dynamo_marked_constant = True
    return function


def outside_graphs(function: Function) -> Function:
    """`torch.compiler.disable`, which imports the compiler when `function` is called, not when it is defined.

    By then it is there: `torch.optim.Optimizer` needs it to add its first group.
    """
    from torch._compile import _disable_dynamo

    return cast(Function, _disable_dynamo(function))


def local_shape_and_offset(tensor: Tensor) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Return shape and first index of a DTensor's local part within the whole tensor.

    torch's own strided shards (FSDP2 over tensor parallel along one dimension) give the offset of their first element;
    `placements` are those of torch 2.11 to 2.13.
    """
    from torch.distributed.tensor._utils import compute_local_shape_and_global_offset

    sharded = cast(Any, tensor)
    shape, offset = compute_local_shape_and_global_offset(sharded.shape, sharded.device_mesh, sharded.placements)
    return tuple(shape), tuple(offset)


def run_body(operation: Any, tensor: Tensor | None, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
    """Carry out an operation of `torch.library` so that a dispatch mode sees the operations of its body.

    A mode calls this with itself switched on again: the backend's kernel is called directly, past the mode's own key.
    `tensor` is one of the arguments and tells the backend.
    """
    name = "CPU" if tensor is None else {"cuda": "CUDA", "meta": "Meta"}.get(tensor.device.type, "CPU")
    key = getattr(torch._C.DispatchKey, name)
    return operation.redispatch(torch._C.DispatchKeySet(key), *args, **kwargs)


def allocations(profiler: Any) -> list[int]:
    """Return the bytes allocated on the CPU (negative where they were freed), in order of time, while profiling.

    The events of `torch.profiler.profile(profile_memory=True)` (2.11 to 2.13) give totals of operations only.
    """
    events = (event for event in profiler.profiler.kineto_results.events() if event.name() == "[memory]")
    on_cpu = (event for event in events if event.device_type() == torch._C._autograd.DeviceType.CPU)
    return [event.nbytes() for event in sorted(on_cpu, key=lambda event: event.start_ns())]


def newton_schulz(matrix: Tensor, coefficients: tuple[float, float, float], steps: int, eps: float) -> Tensor:
    """Orthogonalise `matrix` (rows, columns) as `torch.optim.Muon` does: in bf16 products, which are also returned.

    torch's function (2.9 to 2.13) scales a bf16 argument in place, so it is given a copy.
    """
    from torch.optim._muon import _zeropower_via_newtonschulz

    return _zeropower_via_newtonschulz(matrix.to(torch.bfloat16, copy=True), coefficients, steps, eps)


def may_change_in_place(tensor: Tensor) -> bool:
    """Whether autograd lets a tensor that requires a gradient be changed in place; no leaf, and no view it protects."""
    if not tensor._is_view() or tensor._base is None:
        return not tensor.is_leaf
    ordinary = torch._C._autograd._get_creation_meta(tensor) == torch._C._autograd.CreationMeta.DEFAULT
    return ordinary and not (tensor._base.is_leaf and tensor._base.requires_grad)


def is_fake(tensor: Tensor) -> bool:
    """Whether a tensor has shape and dtype but no values: one of a `FakeTensorMode`, or wrapped around such a one."""
    from torch._subclasses import fake_tensor

    return fake_tensor.is_fake(tensor)


def add_to_each(tensors: Sequence[Tensor], number: float) -> None:
    """Add a number to tensors in place; on a CUDA device by one launch for many."""
    torch._foreach_add_(list(tensors), number)


def norms_of(tensors: Sequence[Tensor]) -> list[Tensor]:
    """Return the Euclidean norms of tensors, 0-d and fp32; on a CUDA device by few launches."""
    return list(torch._foreach_norm(list(tensors), 2, dtype=torch.float32))
