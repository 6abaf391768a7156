"""Cross entropy of a linear layer, without ever holding all its logits."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from fg_kernels import backends
from fg_kernels._compat import constant_in_graphs
from fg_kernels.dispatch import choose, which
from fg_kernels.errors import BackendError, OperandError
from fg_kernels.functional.cross_entropy import as_arguments, overwrite_by
from fg_kernels.reference._budget import Plan, Sizes, accumulated, plan_for, sizes_of, within_free_memory
from fg_kernels.reference._chunked_loss import Gradients, Problem, chunked_loss
from fg_kernels.reference._tiled_loss import tiled_loss
from fg_kernels.reference.linear_cross_entropy import (
    LossOptions,
    check_choices,
    check_classes,
    check_linear_cross_entropy,
    reduced,
    shift_left,
)

_PIECE_BYTES = 1 << 20


@constant_in_graphs
def _has_kernel(device: torch.device, dtype: torch.dtype, backend: str) -> bool:
    """Whether a kernel will be given the logits; a compiled graph keeps the answer."""
    logits = torch.empty(0, device=device, dtype=dtype)
    return which("linear_cross_entropy", logits, backend=backend).backend != "reference"


def linear_cross_entropy(
    x: Tensor,
    weight: Tensor,
    target: Tensor,
    *,
    bias: Tensor | None = None,
    shift: int = 0,
    ignore_index: int = -100,
    reduction: str = "mean",
    softcap: float | None = None,
    z_loss: float = 0.0,
    label_smoothing: float = 0.0,
    logit_scale: float = 1.0,
    mode: str = "auto",
    budget_mib: float | None = None,
    acc_dtype: torch.dtype = torch.float32,
    logits_dtype: torch.dtype | None = None,
    backend: str = "auto",
) -> Tensor:
    """Return the cross entropy of `logit_scale * (x @ weight.T + bias)` against `target`.

    The result and its gradients are those of `torch.nn.functional.cross_entropy` over the full logits, for any mode
    and budget. Losses, and the gradient of the weight over all tokens, are accumulated in fp32 whatever the operands
    are. With `reduction="mean"` or `"sum"` the gradients are formed during the forward pass; with `"none"` the logits
    are computed again in the backward pass. It can be differentiated once.

    mode="fast" takes chunks of tokens: three matrix products in all, like the plain loss. The gradient of the weight
    exists in the accumulation dtype until the backward pass converts it. mode="tiny" takes tiles of tokens and
    classes: four products (five without formed gradients), and the gradient of the weight exists in its own dtype only.

    The Triton kernel of mode="fast" takes the logits of bf16 or fp16 operands rounded to that dtype, as the plain loss
    does, and puts their gradient in their place: two bytes for each. What is computed from them is computed in fp32;
    the rounding moves the loss of one target by up to 2**-9 (bf16) of its logits, and that of thousands by far less,
    as it averages out. Nobody else rounds logits: they are fp32 with mode="tiny" and in plain torch, so that on this
    one point the backend matters. With `logits_dtype=torch.float32` it does not: the kernel takes them in fp32 too,
    with six bytes for each on a CUDA device, four for itself and two for its gradient.

    Args:
        x: hidden states (..., hidden). What stands at ignored positions may be NaN.
        weight: output embedding (vocabulary, hidden).
        target: int64 class indices (...).
        bias: (vocabulary,).
        shift: the target of position t is `target[..., t + shift]`, along the last leading dimension of `x`.
        ignore_index: targets with this value neither count nor receive a gradient.
        reduction: "mean" over the counted targets (NaN if there are none), "sum", or "none" for every target's loss.
        softcap: logits become `softcap * tanh(logits / softcap)` (Gemma 2, arXiv 2408.00118).
        z_loss: adds `z_loss * logsumexp(logits)**2` per target (PaLM, arXiv 2204.02311).
        label_smoothing: in [0, 1), weight of the uniform distribution in the target.
        logit_scale: factor of the logits, applied before the soft cap.
        mode: "fast", "tiny", or "auto": fast if the budget allows 512 tokens at a time, else tiny.
        budget_mib: memory, MiB, for everything that is neither an operand nor a loss nor a gradient. By default a
            chunk has 2048 tokens if their logits take no more than 256 MiB, else 1024, fewer where a CUDA device
            has no room for them; and mode="tiny" takes 64 MiB.
        acc_dtype: of the losses and of the accumulated weight gradient, fp32 or fp64; raised to that of wider operands.
        logits_dtype: None for logits as narrow as the operands where a kernel computes, torch.float32 for logits that
            are never narrower than that.
        backend: see `fg_kernels.dispatch`; "torch", "liger", "cce" and "quack" are the functions of these libraries,
            with their numerics and memory.

    Returns:
        0-d tensor in the accumulation dtype; with `reduction="none"` a tensor (..., seq - shift), zero where ignored.

    Raises:
        KernelError: an unknown name, a number outside its range, shapes or dtypes that do not fit, a target that is
            no class, a budget too small for one token. On a CUDA device targets are not read back: the loss of a
            target that is no class is NaN there, or, in plain torch, a device-side assertion.
    """
    options = LossOptions(
        ignore_index=ignore_index,
        softcap=softcap,
        z_loss=z_loss,
        label_smoothing=label_smoothing,
        logit_scale=logit_scale,
    )
    check_choices(reduction=reduction, mode=mode, acc_dtype=acc_dtype, logits_dtype=logits_dtype)
    check_linear_cross_entropy(x, weight, target, bias, shift=shift)
    targets = shift_left(target, shift, ignore_index)
    flat, each = (x.flatten(0, -2), weight, bias, targets.flatten()), reduction == "none"
    if backend in backends.PEERS:
        _refuse_limits(backend, mode, budget_mib, acc_dtype, logits_dtype)
        losses = _by_peer(*flat, options, backend, each=each)
    else:
        fused = mode != "tiny" and _has_kernel(x.device, accumulated(x, weight, acc_dtype), backend)
        wide = logits_dtype is not None
        sizes = sizes_of(x, weight, bias, acc_dtype, capped=softcap is not None, fused=fused, wide=wide)
        losses = _differentiable(*flat, options, sizes, plan_for(sizes, mode, budget_mib), backend, each=each)
    return reduced(losses, targets, shift, reduction, ignore_index)


def _refuse_limits(
    backend: str, mode: str, budget_mib: float | None, acc_dtype: torch.dtype, logits_dtype: torch.dtype | None
) -> None:
    """Other libraries choose their chunks and their dtypes themselves."""
    if mode != "auto" or budget_mib is not None or acc_dtype != torch.float32 or logits_dtype is not None:
        raise BackendError(
            f"linear_cross_entropy: backend {backend!r} takes neither mode={mode!r}, budget_mib={budget_mib!r}, "
            f"logits_dtype={logits_dtype} nor acc_dtype={acc_dtype}; leave them at their defaults"
        )


def _by_peer(
    x: Tensor, weight: Tensor, bias: Tensor | None, target: Tensor, options: LossOptions, backend: str, *, each: bool
) -> Tensor:
    check_classes(target, weight.shape[0], options.ignore_index)
    request = backends.Request(x=x, weight=weight, bias=bias, target=target, options=options, each=each)
    return backends.linear_cross_entropy(request, backend)


def _differentiable(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    target: Tensor,
    options: LossOptions,
    sizes: Sizes,
    plan: Plan,
    backend: str,
    *,
    each: bool,
) -> Tensor:
    """The losses (tokens,) if `each` is wanted, else their sum; gradients are formed now if there is but one factor."""
    now = torch.is_grad_enabled() and not each
    needed = [now and tensor is not None and tensor.requires_grad for tensor in (x, weight, bias)]
    kinds = sizes.operand, sizes.accumulate, sizes.fused, sizes.wide
    arguments = (*as_arguments(options), list(plan[1:]), plan.mode, *kinds, backend)
    losses, *_ = _linear_cross_entropy(x, weight, bias, target, None, needed, each, *arguments)
    return losses


@torch.library.custom_op("fg_kernels::linear_cross_entropy", mutates_args=())
def _linear_cross_entropy(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    target: Tensor,
    factors: Tensor | None,
    needed: list[bool],
    each: bool,
    ignore_index: int,
    softcap: float | None,
    z_loss: float,
    label_smoothing: float,
    logit_scale: float,
    block: list[int],
    mode: str,
    operand: torch.dtype,
    accumulate: torch.dtype,
    fused: bool,
    wide: bool,
    backend: str,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return losses and the gradients of x, weight and bias, empty where they are not `needed`."""
    check_classes(target, weight.shape[0], ignore_index)
    options = LossOptions(
        ignore_index=ignore_index,
        softcap=softcap,
        z_loss=z_loss,
        label_smoothing=label_smoothing,
        logit_scale=logit_scale,
    )
    vocabulary, hidden = weight.shape
    sizes = Sizes(
        x.shape[0],
        vocabulary,
        hidden,
        operand,
        accumulate,
        raised=weight.dtype != operand,
        biased=bias is not None,
        capped=softcap is not None,
        lent=x.dtype == weight.dtype == operand,
        fused=fused,
        wide=wide,
    )
    plan = within_free_memory(Plan(mode, *block), sizes, x.device)
    problem = Problem(
        x=x, weight=weight, bias=bias, target=target, factors=factors, options=options, sizes=sizes, plan=plan
    )
    made = _empty_gradients(x, weight, bias, needed, mode, accumulate)
    wanted = Gradients(*(gradient if need else None for gradient, need in zip(made, needed, strict=True)))
    with torch.autocast(x.device.type, enabled=False):
        losses = _run(problem, wanted, backend)
    return (losses if each else losses.sum(), *made)


def _run(problem: Problem, gradients: Gradients, backend: str) -> Tensor:
    if problem.plan.mode == "tiny":
        choose("linear_cross_entropy/tiny", problem.x, backend=backend)
        return tiled_loss(problem, gradients)
    for total in (gradients.weight, gradients.bias):
        if total is not None:
            total.zero_()
    logits = problem.x.new_empty(0, dtype=problem.sizes.logits)  # what a kernel would be given decides
    return chunked_loss(problem, gradients, overwrite_by(choose("linear_cross_entropy", logits, backend=backend)))


def _empty_gradients(
    x: Tensor, weight: Tensor, bias: Tensor | None, needed: list[bool], mode: str, accumulate: torch.dtype
) -> tuple[Tensor, Tensor, Tensor]:
    """Chunks add to the gradients of weight and bias, in the accumulation dtype; tiles are written once."""
    summed = accumulate if mode == "fast" else None
    return (
        x.new_empty(x.shape if needed[0] else 0),
        weight.new_empty(weight.shape if needed[1] else 0, dtype=summed),
        (weight if bias is None else bias).new_empty(weight.shape[:1] if needed[2] else 0, dtype=summed),
    )


@_linear_cross_entropy.register_fake
def _(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    target: Tensor,
    factors: Tensor | None,
    needed: list[bool],
    each: bool,
    *rest: Any,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    *_, mode, _, accumulate, _, _, _ = rest
    losses = x.new_empty(target.shape if each else (), dtype=accumulate)
    return (losses, *_empty_gradients(x, weight, bias, needed, mode, accumulate))


def _keep(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
    """Keep the gradients for the backward pass, or what they can be computed from."""
    x, weight, bias, target, _, _, each, *rest = inputs
    ctx.set_materialize_grads(False)
    ctx.mark_non_differentiable(*output[1:])
    ctx.each, ctx.rest, ctx.dtypes = each, rest, [None if t is None else t.dtype for t in (x, weight, bias)]
    ctx.save_for_backward(*((x, weight, bias, target) if each else output[1:]))


def _backward(ctx: Any, *incoming: Tensor | None) -> tuple[Tensor | None, ...]:
    if torch.is_grad_enabled():
        raise OperandError(
            "linear_cross_entropy has no second derivative: leave out create_graph=True, or use "
            "fg_kernels.reference.linear_cross_entropy"
        )
    needed, factor = list(ctx.needs_input_grad[:3]), incoming[0]
    nothing: list[None] = [None] * (len(ctx.needs_input_grad) - len(needed))
    if factor is None:
        return (None, None, None, *nothing)
    if ctx.each:
        x, weight, bias, target = ctx.saved_tensors
        _, *made = _linear_cross_entropy(x, weight, bias, target, factor, needed, True, *ctx.rest)
        factor = None  # it is in the gradients already
    else:
        made = ctx.saved_tensors
    gradients = zip(made, needed, ctx.dtypes, strict=True)
    return (*(_finished(g, factor, dtype) if need else None for g, need, dtype in gradients), *nothing)


_linear_cross_entropy.register_autograd(_backward, setup_context=_keep)


def _finished(gradient: Tensor, factor: Tensor | None, dtype: torch.dtype) -> Tensor:
    return gradient.to(dtype) if factor is None else _scaled(gradient, factor, dtype)


@torch.library.custom_op("fg_kernels::linear_cross_entropy_scaled", mutates_args=())
def _scaled(gradient: Tensor, factor: Tensor, dtype: torch.dtype) -> Tensor:
    """Return `gradient * factor` in `dtype`, multiplied in the wider dtype of the two and rounded once.

    No copy of the size of the gradient is made. The factor has a dimension here, because torch converts tensors
    without any to the dtype of the others: bf16 would take up to 2**-9 off every gradient, and fp16 holds no more than
    65504 of the factor of a gradient scaler.
    """
    result, factor = torch.empty_like(gradient, dtype=dtype), factor.reshape(1)
    if gradient.is_cuda or gradient.dtype == factor.dtype == dtype:  # CUDA converts each element as it is read
        return torch.mul(gradient, factor, out=result)
    rows = max(1, _PIECE_BYTES // max(1, gradient[:1].numel() * factor.itemsize))
    for piece, part in zip(result.split(rows), gradient.split(rows), strict=True):
        piece.copy_(part * factor)
    return result


@_scaled.register_fake
def _(gradient: Tensor, factor: Tensor, dtype: torch.dtype) -> Tensor:
    return torch.empty_like(gradient, dtype=dtype)
