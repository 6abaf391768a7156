"""The loss from hidden states beside its peers: forward and backward, against fp64."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import cached_property, lru_cache, partial
from typing import Any, Final, NamedTuple, TypeAlias, cast

import torch
from torch import Tensor
from torch.nn import functional as F

import fg_kernels
from fg_kernels.measuring.case import Absent, Case, Work, peer
from fg_kernels.measuring.memory import peak_bytes

Loss: TypeAlias = Callable[[Tensor, Tensor, Tensor], Tensor]

_MIB: Final = 1 << 20
_ORACLE_ROWS: Final = 1024
_TINY_BUDGET: Final = 64
# Tokens, vocabulary, hidden size, and the MiB that chunks of tokens may take.
_DEVICE_SIZES: Final = {
    "llama-2-7b": (8192, 32000, 4096, 256),
    "llama-3-8b": (8192, 128256, 4096, 256),
    "llama-3-8b-small-batch": (2048, 128256, 4096, 256),
    "gemma-2-2b": (8192, 256000, 2304, 512),
}
_HOST_SIZES: Final = {"8192x32000x256": (8192, 32000, 256, 256)}
_QUICK_SIZES: Final = {"512x4000x64": (512, 4000, 64, 256)}


class Outcome(NamedTuple):
    """Loss, and gradients of hidden states and weight."""

    loss: Tensor
    x: Tensor
    weight: Tensor


class Problem:
    """Hidden states, weight and targets of one size, and what fp64 makes of them."""

    def __init__(self, tokens: int, vocabulary: int, hidden: int, device: torch.device) -> None:
        generator = torch.Generator().manual_seed(0)
        self.x = torch.randn(tokens, hidden, generator=generator).to(device, torch.bfloat16).requires_grad_()
        weight = torch.randn(vocabulary, hidden, generator=generator) * hidden**-0.5
        self.weight = weight.to(device, torch.bfloat16).requires_grad_()
        self.target = torch.randint(vocabulary, (tokens,), generator=generator).to(device)

    def outcome(self, loss: Loss) -> Outcome:
        """Forward and backward."""
        value = loss(self.x, self.weight, self.target)
        x, weight = torch.autograd.grad(value, (self.x, self.weight))
        return Outcome(value.detach(), x, weight)

    @cached_property
    def exact(self) -> Outcome:
        """The mean loss and its gradients in fp64, by rows."""
        x, weight = (value.detach().double().requires_grad_() for value in (self.x, self.weight))
        total = torch.zeros((), dtype=torch.float64, device=x.device)
        for rows, targets in zip(x.split(_ORACLE_ROWS), self.target.split(_ORACLE_ROWS), strict=True):
            part = F.cross_entropy(F.linear(rows, weight), targets, reduction="sum") / len(self.target)
            part.backward()
            total += part.detach()
        assert x.grad is not None and weight.grad is not None
        return Outcome(total, x.grad, weight.grad)

    def errors(self, ours: Outcome) -> Mapping[str, float]:
        """The absolute error of the loss and the relative errors of both gradients."""
        exact = self.exact
        return {
            "loss error": abs(float(ours.loss.double() - exact.loss)),
            "dx error": _distance(ours.x, exact.x),
            "dw error": _distance(ours.weight, exact.weight),
        }

    def working_bytes(self, loss: Loss, accumulate: torch.dtype) -> int:
        """The most that one of both passes takes beyond the gradients, in the form in which that pass has to hold them.

        The forward pass forms the gradient of the hidden states in their dtype and that of the weight in `accumulate`:
        fp32 where chunks of tokens add to it, which is what makes it exact. The backward pass returns both in the dtype
        of the operands, beside what the forward pass has left.
        """
        device, losses = self.x.device, list[Tensor]()
        forward = peak_bytes(lambda: losses.append(loss(self.x, self.weight, self.target)), device)
        backward = peak_bytes(lambda: torch.autograd.grad(losses[0], (self.x, self.weight)), device)
        formed = self.x.nbytes + self.weight.numel() * accumulate.itemsize
        return max(forward - formed, backward - self.x.nbytes - self.weight.nbytes)


@lru_cache(maxsize=1)
def _problem(tokens: int, vocabulary: int, hidden: int, device: torch.device) -> Problem:
    """Shared by the contenders of a case; gone when the next case begins."""
    return Problem(tokens, vocabulary, hidden, device)


def loss_cases(device: torch.device, *, quick: bool = False) -> Iterator[Case]:
    """One case for each size of model."""
    sizes = _QUICK_SIZES if quick else _DEVICE_SIZES if device.type == "cuda" else _HOST_SIZES
    for name, size in sizes.items():
        yield _case(name, *size)


def plain(x: Tensor, weight: Tensor, target: Tensor) -> Tensor:
    """What everybody writes: all logits, in the dtype of the operands."""
    return F.cross_entropy(F.linear(x, weight), target)


def _case(name: str, tokens: int, vocabulary: int, hidden: int, budget: float) -> Case:
    def work(label: str, find: Callable[[torch.device], Loss], device: torch.device) -> Work:
        loss, given = find(device), _problem(tokens, vocabulary, hidden, device)
        last: list[Outcome] = []  # one call takes seconds on a CPU: its errors are those of a call that was timed

        def run() -> None:
            last[:] = [given.outcome(loss)]

        def facts() -> Mapping[str, float]:
            errors = given.errors(last.pop())
            if label not in _ACCUMULATED:
                return errors
            return {**errors, "working MiB": given.working_bytes(loss, _ACCUMULATED[label]) / _MIB}

        return Work(run=run, facts=facts)

    return Case(
        name=f"linear_cross_entropy/{name}",
        op="linear_cross_entropy",
        shape={"tokens": tokens, "vocabulary": vocabulary, "hidden": hidden},
        elements=tokens * vocabulary,
        flops=6 * tokens * vocabulary * hidden,
        slow_on_cpu=True,
        contenders={label: partial(work, label, find) for label, find in _contenders(budget).items()},
    )


def _ours(mode: str, budget: float, device: torch.device) -> Loss:
    return partial(fg_kernels.linear_cross_entropy, mode=mode, budget_mib=budget)


def _torch_plain(device: torch.device) -> Loss:
    return plain


def _torch_chunked(device: torch.device) -> Loss:
    chunked = getattr(F, "linear_cross_entropy", None)
    if chunked is None:
        raise Absent(f"torch {torch.__version__} has no torch.nn.functional.linear_cross_entropy")
    return partial(chunked, options=cast(Any, torch.nn).LinearCrossEntropyOptions())  # without, it takes all logits


def _compiled(device: torch.device) -> Loss:
    if device.type != "cuda":
        raise Absent("is measured on CUDA devices only")
    return torch.compile(plain)


def _liger(device: torch.device) -> Loss:
    fused = peer("liger_kernel.transformers", device=device).LigerFusedLinearCrossEntropyLoss(accum_dtype=torch.float32)
    return lambda x, weight, target: fused(weight, x, target)


def _quack(device: torch.device) -> Loss:
    chunked = peer("quack.linear_cross_entropy", device=device).chunked_linear_cross_entropy
    return partial(chunked, reduction="mean")


def _cut_cross_entropy(filtered: bool, device: torch.device) -> Loss:
    """Its filter leaves small gradients out, which saves much of the work and some of the accuracy."""
    function = peer("cut_cross_entropy", device=device).linear_cross_entropy
    return function if filtered else partial(function, filter_eps=None)


def _distance(ours: Tensor, exact: Tensor) -> float:
    return float(torch.linalg.vector_norm(ours.double() - exact) / torch.linalg.vector_norm(exact))


def _contenders(budget: float) -> dict[str, Callable[[torch.device], Loss]]:
    return {
        "fg_kernels": partial(_ours, "fast", budget),
        "fg_kernels, tiny": partial(_ours, "tiny", _TINY_BUDGET),
        **_PEERS,
    }


# What our gradients of the weight are formed in.
_ACCUMULATED: Final = {"fg_kernels": torch.float32, "fg_kernels, tiny": torch.bfloat16}

_PEERS: Final[Mapping[str, Callable[[torch.device], Loss]]] = {
    "torch, all logits": _torch_plain,
    "torch linear_cross_entropy": _torch_chunked,
    "compiled, all logits": _compiled,
    "liger": _liger,
    "quack": _quack,
    "cut-cross-entropy": partial(_cut_cross_entropy, False),
    "cut-cross-entropy, filtered": partial(_cut_cross_entropy, True),
}
