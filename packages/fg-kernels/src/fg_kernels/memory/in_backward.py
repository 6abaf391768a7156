"""Updates inside the backward pass: each gradient is used and freed as soon as it is complete."""

from __future__ import annotations

from collections.abc import Callable
from types import TracebackType
from typing import Any, NamedTuple, Self, cast

import torch
from torch import Tensor

from fg_kernels.errors import GradientError, ParameterGroupError
from fg_kernels.optim._mesh import whole
from fg_kernels.optim._update import local


class OptimizerInBackward:
    """Lets an optimizer update every parameter during `backward()`, so that gradients never exist all at once.

        in_backward = OptimizerInBackward(optimizer)
        for batch in batches:
            loss(batch).backward()          # updates the parameters, frees their gradients
            norm = in_backward.finish()     # once per update: the norm of the gradient, on the device
            schedule.step()

    The bits are those of `backward()` and then `optimizer.step()`. What needs all gradients before the first update
    cannot be had: clipping by the global norm, gradient scaling with skipped updates, and accumulation over several
    backward passes, which is refused. Shared parameters are updated once, when all their uses have contributed.

    Args:
        optimizer: one that has `step_param`, such as those of `fg_kernels.optim`.
        on_update: called by each `finish` with the gradient's norm.

    Raises:
        ParameterGroupError: the optimizer, or a member of it, cannot update a single parameter.
        GradientError: a parameter has a gradient already.
    """

    def __init__(
        self, optimizer: torch.optim.Optimizer, *, on_update: Callable[[Tensor], object] | None = None
    ) -> None:
        _check_optimizer(optimizer)
        self._optimizer = optimizer
        self._step_param = cast(Any, optimizer).step_param
        self._on_update = on_update
        self._updated: set[Tensor] = set()
        self._squares: dict[_Layout, Tensor] = {}
        self._parameters = [p for group in optimizer.param_groups for p in group["params"] if p.requires_grad]
        if any(parameter.grad is not None for parameter in self._parameters):
            raise GradientError("a parameter has a gradient already; call zero_grad() first")
        self._handles = [p.register_post_accumulate_grad_hook(self._update) for p in self._parameters]

    def finish(self) -> Tensor:
        """End an update: return the norm of its gradient, call `on_update`, and be ready for the next.

        `optimizer.step` is called too. It finds no gradients, but runs its hooks and tells schedules that there was an
        update. Every rank must call it if parameters are DTensors: their squares are summed here.

        Returns:
            0-d fp32 tensor on the device of the parameters; nothing waits for it.

        Raises:
            GradientError: no parameter was updated.
        """
        if not self._updated:
            raise GradientError("no gradient was computed since the last update; call backward() first")
        norm = _norm(self._squares)
        self._forget()
        self._optimizer.step()
        if self._on_update is not None:
            self._on_update(norm)
        return norm

    def discard(self) -> None:
        """Forget a backward pass that failed, with its gradients. Parameters that it has updated stay so."""
        self._forget()
        for parameter in self._parameters:
            parameter.grad = None

    def remove(self) -> None:
        """Take the hooks off; from then on gradients are kept, and `optimizer.step` updates."""
        for handle in self._handles:
            handle.remove()
        self._handles = []
        self._forget()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.remove()

    def _forget(self) -> None:
        self._updated.clear()
        self._squares.clear()

    def _update(self, parameter: Tensor) -> None:
        if parameter in self._updated:
            parameter.grad = None
            raise GradientError(
                f"a parameter of shape {tuple(parameter.shape)} got a second gradient within one update. The optimizer "
                "runs inside backward: gradients cannot be accumulated (call finish() after every backward, or "
                "discard() after one that failed)"
            )
        assert parameter.grad is not None
        layout, square = _layout(parameter.grad), _square(parameter.grad.detach())
        self._squares[layout] = self._squares[layout].add_(square) if layout in self._squares else square
        self._step_param(parameter)
        parameter.grad = None
        self._updated.add(parameter)


class _Layout(NamedTuple):
    """What gradients must have in common for the squares of their local elements to be summed before the ranks are."""

    device: torch.device
    mesh: Any = None
    placements: tuple[Any, ...] = ()


def _layout(tensor: Tensor) -> _Layout:
    sharded = cast(Any, tensor)
    if not hasattr(tensor, "placements"):
        return _Layout(tensor.device)
    return _Layout(tensor.device, sharded.device_mesh, tuple(sharded.placements))


def _norm(squares: dict[_Layout, Tensor]) -> Tensor:
    totals = [_over_ranks(square, layout) for layout, square in squares.items()]
    # Onto a device, if there is one: a copy to the CPU that nothing waits for would be read before it arrives.
    device = next((total.device for total in totals if total.device.type != "cpu"), totals[0].device)
    return torch.stack([total.to(device, non_blocking=True) for total in totals]).sum().sqrt()


def _over_ranks(square: Tensor, layout: _Layout) -> Tensor:
    """Sum what the shards of a mesh have; replicas have the same."""
    if layout.mesh is None:
        return square
    from torch.distributed.tensor import DTensor, Partial, Replicate

    placements = [Replicate() if placement.is_replicate() else Partial() for placement in layout.placements]
    return whole(DTensor.from_local(square, layout.mesh, placements, run_check=False))


def _square(gradient: Tensor) -> Tensor:
    """The sum of the squares of the local elements, fp32."""
    values = local(gradient)
    return torch.linalg.vector_norm(values, dtype=torch.promote_types(values.dtype, torch.float32)).float().square_()


def _check_optimizer(optimizer: torch.optim.Optimizer) -> None:
    for member in getattr(optimizer, "optimizers", {"": optimizer}).values():
        if not hasattr(member, "step_param"):
            kind = f"{type(member).__module__}.{type(member).__qualname__}"
            raise ParameterGroupError(f"{kind} has no step_param; use one of fg_kernels.optim")
