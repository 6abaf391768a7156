"""Cross entropy of a linear layer, without ever holding all its logits.

The logits of a language model, (tokens, vocabulary), are the largest tensor of a training step, and they are needed
only to be turned into gradients. Here the tokens are taken in chunks; each chunk's logits become its gradients at
once, in place, as in Liger (Hsu et al., "Liger Kernel: Efficient Triton Kernels for LLM Training", 2024). Unlike
there the loss and the gradient of the weight are accumulated in fp32 whatever the operands are, and the chunk is
as large as a memory budget allows: small chunks spend their time adding up the weight gradient.
"""

from __future__ import annotations

import torch
from torch import Tensor

from fg_kernels.errors import HyperparameterError, OperandError, check_option, check_range
from fg_kernels.reference._chunked_loss import Recipe, chunked_loss

MODES = ("auto", "fast")
BACKENDS = ("auto", "reference")
REDUCTIONS = ("mean", "sum", "none")

_MIB = 1 << 20
_DEFAULT_ROWS = 2048
_LARGE_VOCABULARY_ROWS = 1024
_DEFAULT_BYTES = 256 * _MIB


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
    backend: str = "auto",
) -> Tensor:
    """Return the cross entropy of `logit_scale * (x @ weight.T + bias)` against `target`.

    The result and its gradients are those of `torch.nn.functional.cross_entropy` over the full logits, for any size
    of chunk. With `reduction="mean"` or `"sum"` the gradients are formed during the forward pass (three matrix
    products in all, like the plain loss); with `"none"` the logits are computed again in the backward pass.

    Args:
        x: hidden states (..., hidden).
        weight: output embedding (vocabulary, hidden).
        target: int64 class indices (...).
        bias: (vocabulary,).
        shift: the target of position t is `target[..., t + shift]`, along the last leading dimension of `x`.
        ignore_index: targets with this value neither count nor receive a gradient.
        reduction: "mean" over the counted targets, "sum", or "none" for the loss of every target.
        softcap: logits become `softcap * tanh(logits / softcap)` (Gemma 2, arXiv 2408.00118).
        z_loss: adds `z_loss * logsumexp(logits)**2` per target (PaLM, arXiv 2204.02311).
        label_smoothing: in [0, 1), weight of the uniform distribution in the target.
        logit_scale: factor of the logits, applied before the soft cap.
        mode: "fast" (chunks of tokens) or "auto", which chooses it.
        budget_mib: memory for the logits of one chunk, MiB; by default 2048 rows' if at most 256, else 1024 rows'.
        acc_dtype: of the loss and of the accumulated weight gradient; never below that of the operands.
        backend: "reference" or "auto", which chooses it.

    Returns:
        0-d tensor in the accumulation dtype; with `reduction="none"` a tensor (..., seq - shift), zero where ignored.

    Raises:
        KernelError: an unknown name, a number outside its range, shapes or dtypes that do not fit.
    """
    _check_choices(reduction, mode, backend)
    _check_numbers(softcap, z_loss, label_smoothing)
    _check_operands(x, weight, target, bias, shift)
    operand, accumulate = _dtypes(x, weight, acc_dtype)
    rows = _chunk_rows(target.numel(), weight.shape[0], accumulate.itemsize, budget_mib)
    recipe = Recipe(rows, operand, accumulate, ignore_index, softcap, z_loss, label_smoothing, logit_scale)
    targets = _shift_left(target, shift, ignore_index)
    losses = chunked_loss(x.flatten(0, -2), weight, bias, targets.flatten(), recipe, per_target=reduction == "none")
    if reduction == "none":
        return losses.view(target.shape)[..., : target.shape[-1] - shift]
    return losses / (targets != ignore_index).sum() if reduction == "mean" else losses


def _check_choices(reduction: str, mode: str, backend: str) -> None:
    check_option("reduction", reduction, REDUCTIONS)
    check_option("mode", mode, MODES)
    check_option("backend", backend, BACKENDS)


def _check_numbers(softcap: float | None, z_loss: float, label_smoothing: float) -> None:
    check_range("label_smoothing", label_smoothing, 0.0, 1.0)
    check_range("z_loss", z_loss, 0.0)
    if softcap is not None and not softcap > 0:
        raise HyperparameterError(f"softcap={softcap!r} must be positive; None turns it off")


def _check_operands(x: Tensor, weight: Tensor, target: Tensor, bias: Tensor | None, shift: int) -> None:
    shapes = f"x {tuple(x.shape)}, weight {tuple(weight.shape)}, target {tuple(target.shape)}"
    if weight.ndim != 2 or x.ndim < 2 or x.shape[-1] != weight.shape[1] or x.shape[:-1] != target.shape:
        raise OperandError(f"expected x (..., hidden), weight (vocabulary, hidden), target (...); got {shapes}")
    if bias is not None and bias.shape != weight.shape[:1]:
        raise OperandError(f"expected bias ({weight.shape[0]},), got {tuple(bias.shape)}")
    if not (x.is_floating_point() and weight.is_floating_point()) or target.dtype != torch.int64:
        raise OperandError(
            f"x and weight must be floating point and target int64; got {x.dtype}, {weight.dtype}, {target.dtype}"
        )
    if not 0 <= shift <= target.shape[-1]:
        raise OperandError(f"shift={shift} does not fit into a sequence; got {shapes}")


def _dtypes(x: Tensor, weight: Tensor, acc_dtype: torch.dtype) -> tuple[torch.dtype, torch.dtype]:
    """Return the dtypes of operands and of accumulation.

    Narrow operands are multiplied as they are only where a product can be accumulated and returned in fp32, that is
    on CUDA; elsewhere they are raised first.
    """
    device = x.device.type
    if torch.is_autocast_enabled(device):
        operand = torch.get_autocast_dtype(device)
    else:
        operand = torch.promote_types(x.dtype, weight.dtype)
    accumulate = torch.promote_types(acc_dtype, operand)
    return operand if x.is_cuda and accumulate == torch.float32 else accumulate, accumulate


def _chunk_rows(tokens: int, vocabulary: int, itemsize: int, budget_mib: float | None) -> int:
    """Return rows per chunk, at least one; the chunks are made equal so that no short one is left over.

    Two buffers of a chunk's logits exist at a time. The floor of 1024 rows keeps the accumulation of the weight
    gradient (8 bytes per element and chunk) below the arithmetic of current accelerators.
    """
    row_bytes = 2 * vocabulary * itemsize
    if budget_mib is None:
        limit = _DEFAULT_ROWS if _DEFAULT_ROWS * row_bytes <= _DEFAULT_BYTES else _LARGE_VOCABULARY_ROWS
    else:
        check_range("budget_mib", budget_mib, 0.0)
        limit = max(1, int(budget_mib * _MIB) // row_bytes)
    chunks = max(1, -(-tokens // limit))
    return max(1, -(-tokens // chunks))


def _shift_left(target: Tensor, shift: int, ignore_index: int) -> Tensor:
    """Move targets instead of slicing `x`, which would copy it."""
    if shift == 0:
        return target
    padding = target.new_full((*target.shape[:-1], shift), ignore_index)
    return torch.cat((target[..., shift:], padding), dim=-1)
