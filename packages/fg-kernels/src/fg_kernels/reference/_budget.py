"""How many tokens and classes are worked on at a time, so that everything beside operands and results fits a budget."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

from fg_kernels.errors import HyperparameterError, check_range

_MIB = 1 << 20

# A chunk of 1024 tokens keeps the accumulation of the weight gradient (8 bytes per element and chunk) below the
# arithmetic of current accelerators; below 512 recomputing the logits is the better use of little memory.
_DEFAULT_ROWS = 2048
_LARGE_VOCABULARY_ROWS = 1024
_FEWEST_FAST_ROWS = 512
_DEFAULT_BYTES = 256 * _MIB
_TINY_BYTES = 64 * _MIB
_FREE_SHARE = 0.5

# Tensor cores want the rows of a tile to begin at multiples of 16 bytes, and work on 128 or 256 columns at a time.
_ALIGNED_CLASSES = 128

# Vectors over all tokens (shifted targets, masks, losses) and those over the rows at hand, bytes per token.
_TOKEN_BYTES = 32
_USUAL_TOKENS = 1 << 16
_ROW_BYTES = 128


class Plan(NamedTuple):
    """The way taken ("fast" or "tiny"), and the tokens and classes at a time."""

    mode: str
    rows: int
    classes: int


class Sizes(NamedTuple):
    """What the memory depends on.

    `operand` is the dtype of what is multiplied, `accumulate` that of losses and the weight gradient. `raised` says
    that weights must be converted to `operand`; `lent`, that a chunk borrows the memory of the gradient of its hidden
    states, so that it needs neither a copy of these nor that gradient in another dtype; `fused`, that a kernel turns
    logits into their gradient where they are, computing in fp32; `wide`, that it is not given narrow ones.
    """

    tokens: int
    vocabulary: int
    hidden: int
    operand: torch.dtype
    accumulate: torch.dtype
    raised: bool
    biased: bool
    capped: bool
    lent: bool = False
    fused: bool = False
    wide: bool = False

    @property
    def logits(self) -> torch.dtype:
        """The dtype of the logits of a chunk: a kernel takes those of narrow operands as the plain loss has them."""
        return self.operand if self.fused and not self.wide else self.accumulate

    @property
    def chunk_cell(self) -> int:
        """Bytes for one logit of a chunk: a kernel needs no memory for the slope of its cap."""
        return self.logits.itemsize + self._narrow_gradient(self.logits) if self.fused else self.cell

    @property
    def cell(self) -> int:
        """Bytes for one logit in plain torch: itself, the slope of its cap, and its gradient as an operand."""
        return self.accumulate.itemsize * (2 if self.capped else 1) + self._narrow_gradient(self.accumulate)

    def _narrow_gradient(self, logits: torch.dtype) -> int:
        """Bytes for the gradient of a logit, as an operand, where it cannot take its place."""
        return 0 if self.operand == logits else self.operand.itemsize


def sizes_of(
    x: Tensor, weight: Tensor, bias: Tensor | None, acc_dtype: torch.dtype, *, capped: bool, fused: bool, wide: bool
) -> Sizes:
    """Narrow operands are multiplied as they are on CUDA, which adds products up in fp32, and for narrow logits."""
    operand, accumulate = _product_dtype(x, weight), accumulated(x, weight, acc_dtype)
    if not ((x.is_cuda or (fused and not wide)) and accumulate == torch.float32):
        operand = accumulate
    vocabulary, hidden = weight.shape
    raised = weight.dtype != operand
    return Sizes(
        x.shape[:-1].numel(),
        vocabulary,
        hidden,
        operand,
        accumulate,
        raised,
        bias is not None,
        capped,
        lent=not raised and x.dtype == operand and (x.requires_grad or not _wants_gradient(weight)),
        fused=fused,
        wide=wide,
    )


def _wants_gradient(tensor: Tensor) -> bool:
    return torch.is_grad_enabled() and tensor.requires_grad


def accumulated(x: Tensor, weight: Tensor, acc_dtype: torch.dtype) -> torch.dtype:
    """The dtype of losses and of the weight gradient while it is added up."""
    return torch.promote_types(acc_dtype, _product_dtype(x, weight))


def _product_dtype(x: Tensor, weight: Tensor) -> torch.dtype:
    """What torch would multiply the two in."""
    device = x.device.type
    if torch.is_autocast_enabled(device):
        return torch.get_autocast_dtype(device)
    return torch.promote_types(x.dtype, weight.dtype)


def budget_of(rows: int, vocabulary: int, hidden: int) -> float:
    """The `budget_mib` that chunks of `rows` tokens take in fp32, beside vectors over as many as 65536 tokens."""
    fp32 = Sizes(rows, vocabulary, hidden, torch.float32, torch.float32, raised=False, biased=False, capped=False)
    return (rows * _fast_row(fp32) + _USUAL_TOKENS * _TOKEN_BYTES) / _MIB


def plan_for(sizes: Sizes, mode: str, budget_mib: float | None) -> Plan:
    """Choose the way and what is worked on at a time.

    Raises:
        HyperparameterError: the budget is too small for a single token and class.
    """
    if budget_mib is None:
        return _tiny(sizes, _TINY_BYTES) if mode == "tiny" else _default(sizes)
    check_range("budget_mib", budget_mib, 0.0)
    budget = int(budget_mib * _MIB)
    fast = _fast(sizes, budget)
    enough = min(_FEWEST_FAST_ROWS, sizes.tokens) if mode == "auto" else 1
    if mode != "tiny" and fast.rows >= enough:
        return fast
    plan = fast if mode == "fast" else _tiny(sizes, budget)
    if min(plan.rows, plan.classes) < 1:
        raise HyperparameterError(
            f"budget_mib={budget_mib!r} is too small: {sizes.tokens} tokens, a vocabulary of {sizes.vocabulary} and a "
            f"hidden size of {sizes.hidden} need more even for one token at a time; raise it"
            + (' or use mode="tiny"' if mode == "fast" else "")
        )
    return plan


def within_free_memory(plan: Plan, sizes: Sizes, device: torch.device) -> Plan:
    """Fewer rows where a CUDA device could not hold a default chunk; at least one."""
    if device.type != "cuda" or plan.mode == "tiny":
        return plan
    free = torch.cuda.mem_get_info(device)[0]
    free += torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    rows = int(free * _FREE_SHARE) // _fast_row(sizes)
    return plan if rows >= plan.rows else plan._replace(rows=max(1, rows))


def _default(sizes: Sizes) -> Plan:
    few = _DEFAULT_ROWS * sizes.chunk_cell * sizes.vocabulary <= _DEFAULT_BYTES
    rows = _even(sizes.tokens, _DEFAULT_ROWS if few else _LARGE_VOCABULARY_ROWS)
    return Plan("fast", rows, _raised_classes(sizes, _DEFAULT_BYTES))


def _fast(sizes: Sizes, budget: int) -> Plan:
    classes = _raised_classes(sizes, budget)
    fixed = sizes.tokens * _TOKEN_BYTES
    if sizes.raised:
        fixed += classes * sizes.hidden * sizes.operand.itemsize
    if sizes.biased:
        fixed += 2 * sizes.vocabulary * sizes.accumulate.itemsize
    rows = (budget - fixed) // _fast_row(sizes)
    return Plan("fast", _even(sizes.tokens, rows) if rows >= 1 else 0, classes)


def _fast_row(sizes: Sizes) -> int:
    """Bytes per token of a chunk: its logits and, unless lent, its hidden state as an operand and the gradient."""
    operands = 0 if sizes.lent else 2 * sizes.accumulate.itemsize + sizes.operand.itemsize
    return sizes.vocabulary * sizes.chunk_cell + sizes.hidden * operands + _ROW_BYTES


def _raised_classes(sizes: Sizes, budget: int) -> int:
    """All classes at once, unless their weights must be converted: then as many as an eighth of the budget holds."""
    if not sizes.raised:
        return sizes.vocabulary
    held = budget // 8 // (sizes.hidden * sizes.operand.itemsize)
    return min(sizes.vocabulary, max(1, held))


def _tiny(sizes: Sizes, budget: int) -> Plan:
    """The largest square tile that both passes hold; where fewer tokens make equal tiles, more classes instead."""
    work = budget - sizes.tokens * _TOKEN_BYTES - 2 * sizes.hidden * sizes.accumulate.itemsize
    passes = _first_pass(sizes), _second_pass(sizes)
    side = min(_side(work, sizes.cell, *bytes_each) for bytes_each in passes) if work > 0 else 0
    if side < 1:
        return Plan("tiny", 0, 0)
    rows = _even(sizes.tokens, side)
    classes = min(int((work - rows * per_row) // (sizes.cell * rows + per_class)) for per_row, per_class in passes)
    if classes > _ALIGNED_CLASSES:
        classes -= classes % _ALIGNED_CLASSES
    return Plan("tiny", rows, min(classes, sizes.vocabulary))


def _first_pass(sizes: Sizes) -> tuple[int, int]:
    """Bytes for each row and class: hidden states, cleared where ignored, their wide gradient, capped its even part."""
    wide = sizes.accumulate.itemsize * (2 if sizes.capped else 1)
    return sizes.hidden * (wide + sizes.operand.itemsize) + _ROW_BYTES, _raised_class(sizes)


def _second_pass(sizes: Sizes) -> tuple[int, int]:
    """The same: hidden states and the wide gradient of weights."""
    per_class = (sizes.hidden + 2) * sizes.accumulate.itemsize
    return sizes.hidden * sizes.operand.itemsize + _ROW_BYTES, per_class + _raised_class(sizes)


def _raised_class(sizes: Sizes) -> int:
    return sizes.hidden * sizes.operand.itemsize if sizes.raised else 0


def _side(work: int, cell: int, per_row: int, per_class: int) -> int:
    """The largest `n` with `n * n * cell + n * (per_row + per_class) <= work`."""
    half = (per_row + per_class) / (2 * cell)
    return int(math.sqrt(half * half + work / cell) - half)


def _even(tokens: int, limit: int) -> int:
    """Rows of equal chunks of at most `limit`, so that no short one is left over."""
    chunks = max(1, -(-tokens // limit))
    return max(1, -(-tokens // chunks))
