"""How many bytes an eager computation moves: counted from the operations that torch dispatches.

A kernel that is limited by memory takes as long as its bytes take, so bytes per parameter say on any machine what an
optimizer will cost on a GPU. The rules:

* an operation reads each of its tensor arguments once, an argument passed twice twice, and writes each result once;
* a tensor changed in place is read and written, unless its old content is irrelevant (`copy_`, `fill_`, …);
* views cost nothing, and a broadcast dimension is read once;
* operations of `torch.library` are looked into: the operations of their body are counted instead.

Caches are left out: an operation finds some of its operands in L2. Kernels that are not torch operations (Triton's)
cannot be seen; their bytes are counted from their compiled code.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import torch
from torch import Tensor

from fg_kernels._compat import TorchDispatchMode, run_body

_OVERWRITING: Final = frozenset({"copy_", "fill_", "zero_", "uniform_", "normal_", "random_", "exponential_"})
_WITHOUT_READING: Final = frozenset({"zeros_like", "ones_like", "full_like", "rand_like", "randn_like"})
_FREE: Final = frozenset({"empty", "empty_like", "empty_strided", "new_empty", "detach", "lift_fresh", "_unsafe_view"})
_HOST_READS: Final = frozenset({"_local_scalar_dense", "is_nonzero", "equal"})


@dataclass(kw_only=True, slots=True)
class Traffic:
    """What an eager computation did.

    Attributes:
        read: bytes.
        written: bytes.
        operations: number of torch operations that moved bytes.
        host_reads: how often the host asked for a tensor's value; on a CUDA device it waits for each.
        by_operation: bytes moved by each kind of operation.
    """

    read: int = 0
    written: int = 0
    operations: int = 0
    host_reads: int = 0
    by_operation: dict[str, int] = field(default_factory=dict)

    @property
    def moved(self) -> int:
        """Bytes read and written."""
        return self.read + self.written


class TrafficCounter(TorchDispatchMode):
    """Counts into `traffic` whatever runs inside `with TrafficCounter() as counter:`."""

    def __init__(self) -> None:
        super().__init__()
        self.traffic = Traffic()

    def __torch_dispatch__(
        self, func: Any, types: Sequence[type], args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        """Carry out `func` and count it."""
        named = dict(kwargs or {})
        if func.namespace != "aten":
            return self._look_into(func, args, named)
        result = func(*args, **named)
        self._count(func, _arguments(func, args, named), result)
        return result

    def _look_into(self, func: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
        """Run the body of an operation of `torch.library` with this counter switched on again."""
        first = next(_tensors([*args, *kwargs.values()]), None)
        with self:
            return run_body(func, first, args, kwargs)

    def _count(self, func: Any, arguments: list[tuple[Any, Any]], result: Any) -> None:
        name = func.overloadpacket.__name__
        self.traffic.host_reads += name in _HOST_READS
        if name in _FREE or _is_view(func):
            return
        read = 0 if name in _WITHOUT_READING else sum(map(_bytes, _read(name, arguments)))
        written = sum(map(_bytes, _written(name, arguments))) + sum(map(_bytes, _made(func, result)))
        if read + written == 0:
            return
        self.traffic.read += read
        self.traffic.written += written
        self.traffic.operations += 1
        self.traffic.by_operation[name] = self.traffic.by_operation.get(name, 0) + read + written


def traffic_of(function: Callable[[], object]) -> Traffic:
    """Run `function` and return what it moved."""
    with TrafficCounter() as counter:
        function()
    return counter.traffic


def traffic_of_update(
    optimizer: Callable[[list[tuple[str, torch.nn.Parameter]]], torch.optim.Optimizer],
    *,
    shape: tuple[int, ...] = (1024, 1024),
    dtype: torch.dtype = torch.bfloat16,
    update: int = 3,
    device: str = "cpu",
) -> Traffic:
    """Return the traffic of one update of one parameter; divide by its elements for bytes per parameter.

    Args:
        optimizer: makes an optimizer from (name, parameter) pairs.
        shape: of the parameter.
        dtype: of the parameter and its gradient.
        update: the one that is counted, from 1; earlier ones create the state.
        device: where it lives.
    """
    generator = torch.Generator().manual_seed(0)
    parameter = torch.nn.Parameter(torch.randn(shape, generator=generator).to(device, dtype))
    parameter.grad = torch.randn(shape, generator=generator).to(device, dtype)
    made = optimizer([("weight", parameter)])
    for _ in range(update - 1):
        made.step()
    return traffic_of(lambda: made.step())


def _arguments(func: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> list[tuple[Any, Any]]:
    """Pairs of schema argument and the value passed for it."""
    schema = func._schema.arguments
    by_name = {argument.name: argument for argument in schema}
    return [*zip(schema, args, strict=False), *((by_name[name], value) for name, value in kwargs.items())]


def _is_view(func: Any) -> bool:
    """Whether a result shares the memory of an argument and nothing is written."""
    returns = [value.alias_info for value in func._schema.returns]
    return any(info is not None and not info.is_write for info in returns)


def _read(name: str, arguments: list[tuple[Any, Any]]) -> Iterator[Tensor]:
    for argument, value in arguments:
        overwritten = argument.name == "out" or (name in _OVERWRITING and _changes(argument))
        if not overwritten:
            yield from _tensors([value])


def _written(name: str, arguments: list[tuple[Any, Any]]) -> Iterator[Tensor]:
    """The arguments that are changed in place.

    The fused optimizers of torch declare gradients as written, which they are only when they unscale them.
    """
    scaled = any(argument.name == "grad_scale" and value is not None for argument, value in arguments)
    for argument, value in arguments:
        spared = name.startswith("_fused_") and argument.name == "grads" and not scaled
        if _changes(argument) and not spared:
            yield from _tensors([value])


def _made(func: Any, result: Any) -> Iterator[Tensor]:
    """The results that are new tensors."""
    results = result if len(func._schema.returns) > 1 else [result]
    for declared, value in zip(func._schema.returns, results, strict=False):
        if declared.alias_info is None:
            yield from _tensors([value])


def _changes(argument: Any) -> bool:
    return argument.alias_info is not None and argument.alias_info.is_write


def _tensors(values: Iterable[Any]) -> Iterator[Tensor]:
    for value in values:
        if isinstance(value, Tensor):
            yield value
        elif isinstance(value, Sequence) and not isinstance(value, str):
            yield from _tensors(value)


def _bytes(tensor: Tensor) -> int:
    """Bytes of the elements that exist: a broadcast dimension has stride 0."""
    sizes = (size for size, stride in zip(tensor.shape, tensor.stride(), strict=True) if stride or not size)
    return math.prod(sizes) * tensor.element_size()
