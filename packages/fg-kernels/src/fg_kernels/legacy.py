"""Factories that take the keywords of the original Forgather and build ours; named by `aliases.yaml`."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from functools import partial
from inspect import signature
from typing import Any, TypeAlias, cast

from torch import Tensor
from torch.nn import Module
from torch.optim import Optimizer
from torch.optim.optimizer import ParamsT

from fg_kernels.dispatch import which
from fg_kernels.errors import BackendError, OperandError, check_option, check_range
from fg_kernels.nn import LinearCrossEntropyLoss, causal_lm_loss
from fg_kernels.optim import SGD, Adafactor, AdamW, Apollo, MultiOptimizer, SinkGD
from fg_kernels.reference._budget import budget_of

logger = logging.getLogger(__name__)

LossOfLogits: TypeAlias = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]

_LOSS_BACKENDS = {"auto": "auto", "cce": "cce", "liger": "liger", "pytorch": "reference"}
_LIBRARIES = ("cce", "liger")
_LOSS_OPTIONS = (
    "shift",
    "softcap",
    "z_loss",
    "label_smoothing",
    "logit_scale",
    "mode",
    "budget_mib",
    "acc_dtype",
    "logits_dtype",
)


def adamw(
    params: ParamsT,
    lr: float = 1e-3,
    betas: tuple[float, float] = (0.9, 0.999),
    eps: float = 1e-6,
    weight_decay: float = 0.01,
    torch_compile: bool = False,
    bf16_stochastic_round: bool = True,
    **kwargs: Any,
) -> AdamW:
    """Build `fg_kernels.optim.AdamW`; `bf16_stochastic_round` becomes `rounding`."""
    _mention_execution_choices("AdamW", torch_compile=torch_compile)
    return AdamW(params, lr, betas, eps, weight_decay, rounding=_rounding(bf16_stochastic_round), **kwargs)


def adafactor(
    params: ParamsT,
    lr: float = 1e-3,
    decay_rate: float = -0.8,
    clip_threshold: float = 1.0,
    betas: tuple[float, float] = (0.9, 0.999),
    eps: tuple[float, float] = (1e-30, 1e-3),
    weight_decay: float = 0.01,
    relative_step: bool = False,
    torch_compile: bool = False,
    bf16_stochastic_round: bool = True,
    use_triton: bool = False,
    **kwargs: Any,
) -> Adafactor:
    """Build `fg_kernels.optim.Adafactor`; `bf16_stochastic_round` becomes `rounding`."""
    _mention_execution_choices("Adafactor", torch_compile=torch_compile, use_triton=use_triton)
    options = (lr, decay_rate, clip_threshold, betas, eps, weight_decay, relative_step)
    return Adafactor(params, *options, rounding=_rounding(bf16_stochastic_round), **kwargs)


def apollo(
    params: ParamsT,
    *args: Any,
    torch_compile: bool = False,
    bf16_stochastic_round: bool = True,
    **kwargs: Any,
) -> Apollo:
    """Build `fg_kernels.optim.Apollo`, whose own arguments have the original's order.

    Raises:
        OperandError: a `projector_factory` that makes the original's projector objects instead of matrices.
    """
    _mention_execution_choices("Apollo", torch_compile=torch_compile)
    optimizer = Apollo(params, *args, rounding=_rounding(bf16_stochastic_round), **kwargs)
    _check_projector(optimizer.projector_factory)
    return optimizer


def sgd(
    params: ParamsT,
    lr: float = 1e-3,
    *,
    torch_compile: bool = False,
    bf16_stochastic_round: bool = True,
    **kwargs: Any,
) -> SGD:
    """Build `fg_kernels.optim.SGD`; `bf16_stochastic_round` becomes `rounding`."""
    _mention_execution_choices("SGD", torch_compile=torch_compile)
    return SGD(params, lr, rounding=_rounding(bf16_stochastic_round), **kwargs)


def sinkgd(
    params: ParamsT, *args: Any, torch_compile: bool = False, bf16_stochastic_round: bool = True, **kwargs: Any
) -> SinkGD:
    """Build `fg_kernels.optim.SinkGD`, whose own arguments have the original's order."""
    _mention_execution_choices("SinkGD", torch_compile=torch_compile)
    return SinkGD(params, *args, rounding=_rounding(bf16_stochastic_round), **kwargs)


def multiopt(optimizers: Iterable[Optimizer]) -> MultiOptimizer:
    """Build `fg_kernels.optim.MultiOptimizer` from a list; its members are named "0", "1" and so on."""
    return MultiOptimizer({str(position): optimizer for position, optimizer in enumerate(optimizers)})


def linear_cross_entropy_loss(
    output_embeddings: Module,
    impl: str = "auto",
    chunk_size: int | None = None,
    ignore_index: int = -100,
    compile: bool = False,
    **kwargs: Any,
) -> LinearCrossEntropyLoss:
    """Build `fg_kernels.nn.LinearCrossEntropyLoss`.

    Args:
        output_embeddings: see there.
        impl: "cce" and "liger" are these libraries, "pytorch" is plain torch; "auto", which tried the three in turn,
            is now the kernel of this package where it fits and plain torch elsewhere.
        chunk_size: tokens at a time of "pytorch" and "auto". It becomes the memory that these take in fp32
            (`budget_mib`): logits of fewer bits are computed for more tokens at a time.
        ignore_index: see there.
        compile: of no use here.
        kwargs: options that the loss has, see there.

    Raises:
        UnknownOptionError: an implementation, or an option (such as those of the libraries), that does not exist.
        BackendError: the library is not installed, or cannot do this.
    """
    check_option("impl", impl, _LOSS_BACKENDS)
    for option in kwargs:
        check_option("option", option, _LOSS_OPTIONS)
    if impl in _LIBRARIES:
        _check_library(impl, output_embeddings)
    if impl == "auto":
        logger.info("LinearCrossEntropyLoss: impl='auto' is this package's own loss, no longer one of cce and liger")
    if compile:
        logger.info("LinearCrossEntropyLoss: compile is not needed")
    loss = LinearCrossEntropyLoss(output_embeddings, ignore_index=ignore_index, backend=_LOSS_BACKENDS[impl], **kwargs)
    if chunk_size is not None:
        _limit_chunks(loss, impl, chunk_size)
    return loss


def causal_loss(ignore_index: int = -100, compile: bool = False) -> LossOfLogits:
    """Build `fg_kernels.nn.causal_lm_loss`, which returns sum and count instead of a mean."""
    _mention_execution_choices("CausalLoss", compile=compile)
    return partial(causal_lm_loss, ignore_index=ignore_index)


def chunked_causal_loss(chunk_size: int = 4096, ignore_index: int = -100, compile: bool = False) -> LossOfLogits:
    """Build `fg_kernels.nn.causal_lm_loss`; a loss that needs no chunks of logits is `LinearCrossEntropyLoss`."""
    _mention_execution_choices("ChunkedCausalLoss", chunk_size=chunk_size != 4096, compile=compile)
    return partial(causal_lm_loss, ignore_index=ignore_index)


def _check_projector(factory: Callable[..., Any] | None) -> None:
    """Both generations are called with three arguments, so that only their names tell them apart."""
    try:
        names = tuple(signature(factory).parameters) if factory is not None else ()
    except ValueError:  # a function of a library in C does not tell
        return
    if names[:2] == ("rank", "dim") or "proj_type" in names:
        raise OperandError(
            f"projector_factory takes ({', '.join(names)}), as it did in the original; it must now take "
            "(gradient, rank, number) and return the projection, a tensor (rank, dim), for gradient (dim, channels)"
        )


def _check_library(impl: str, output_embeddings: Module) -> None:
    if impl == "cce" and getattr(output_embeddings, "bias", None) is not None:
        raise BackendError("impl='cce' cannot do an output embedding with a bias; set impl='auto'")
    try:
        which("linear_cross_entropy", backend=impl)
    except BackendError as error:
        raise BackendError(f"impl={impl!r} cannot be used: {error}; install it, or set impl='auto'") from None


def _limit_chunks(loss: LinearCrossEntropyLoss, impl: str, rows: int) -> None:
    """A budget that was given comes first, and a library cuts chunks of its own."""
    if impl in _LIBRARIES or loss.budget_mib is not None:
        other = "budget_mib" if loss.budget_mib is not None else f"impl={impl!r}"
        logger.warning("LinearCrossEntropyLoss: chunk_size=%d is not used: %s decides", rows, other)
        return
    check_range("chunk_size", rows, 1)
    loss.budget_mib = budget_of(rows, *cast(Tensor, loss.output_embeddings.weight).shape)
    loss.mode = "fast" if loss.mode == "auto" else loss.mode


def _rounding(stochastic: bool) -> str:
    return "stochastic" if stochastic else "nearest"


def _mention_execution_choices(what: str, **choices: bool) -> None:
    """Say that options which choose how, not what, is computed have no counterpart."""
    for option in (name for name, asked in choices.items() if asked):
        logger.warning(
            "%s: %s only chose an implementation in the original; the same result is computed without", what, option
        )
