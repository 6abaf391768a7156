"""Factories that take the keywords of the original Forgather and build ours; named by `aliases.yaml`."""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import partial
from typing import Any, TypeAlias

from torch import Tensor
from torch.nn import Module
from torch.optim.optimizer import ParamsT

from fg_kernels.errors import check_option
from fg_kernels.nn import LinearCrossEntropyLoss, causal_lm_loss
from fg_kernels.optim import SGD, Adafactor, AdamW, Apollo, SinkGD

logger = logging.getLogger(__name__)

LossOfLogits: TypeAlias = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]

_LOSS_IMPLEMENTATIONS = ("auto", "cce", "liger", "pytorch")


def adamw(
    params: ParamsT, *args: Any, torch_compile: bool = False, bf16_stochastic_round: bool = True, **kwargs: Any
) -> AdamW:
    """Build `fg_kernels.optim.AdamW`; `bf16_stochastic_round` becomes `rounding`."""
    _mention_execution_choices("AdamW", torch_compile=torch_compile)
    return AdamW(params, *args, rounding=_rounding(bf16_stochastic_round), **kwargs)


def adafactor(
    params: ParamsT,
    *args: Any,
    torch_compile: bool = False,
    bf16_stochastic_round: bool = True,
    use_triton: bool = False,
    **kwargs: Any,
) -> Adafactor:
    """Build `fg_kernels.optim.Adafactor`; `bf16_stochastic_round` becomes `rounding`."""
    _mention_execution_choices("Adafactor", torch_compile=torch_compile, use_triton=use_triton)
    return Adafactor(params, *args, rounding=_rounding(bf16_stochastic_round), **kwargs)


def apollo(
    params: ParamsT, *args: Any, torch_compile: bool = False, bf16_stochastic_round: bool = True, **kwargs: Any
) -> Apollo:
    """Build `fg_kernels.optim.Apollo`; `bf16_stochastic_round` becomes `rounding`."""
    _mention_execution_choices("Apollo", torch_compile=torch_compile)
    return Apollo(params, *args, rounding=_rounding(bf16_stochastic_round), **kwargs)


def sgd(
    params: ParamsT, *args: Any, torch_compile: bool = False, bf16_stochastic_round: bool = True, **kwargs: Any
) -> SGD:
    """Build `fg_kernels.optim.SGD`; `bf16_stochastic_round` becomes `rounding`."""
    _mention_execution_choices("SGD", torch_compile=torch_compile)
    return SGD(params, *args, rounding=_rounding(bf16_stochastic_round), **kwargs)


def sinkgd(
    params: ParamsT, *args: Any, torch_compile: bool = False, bf16_stochastic_round: bool = True, **kwargs: Any
) -> SinkGD:
    """Build `fg_kernels.optim.SinkGD`; `bf16_stochastic_round` becomes `rounding`."""
    _mention_execution_choices("SinkGD", torch_compile=torch_compile)
    return SinkGD(params, *args, rounding=_rounding(bf16_stochastic_round), **kwargs)


def linear_cross_entropy_loss(
    output_embeddings: Module,
    impl: str = "auto",
    chunk_size: int | None = None,
    ignore_index: int = -100,
    compile: bool = False,
    **kwargs: Any,
) -> LinearCrossEntropyLoss:
    """Build `fg_kernels.nn.LinearCrossEntropyLoss`; the chunk follows from `budget_mib` instead of `chunk_size`."""
    check_option("impl", impl, _LOSS_IMPLEMENTATIONS)
    chosen = {"impl": impl != "auto", "chunk_size": chunk_size is not None, "compile": compile}
    _mention_execution_choices("LinearCrossEntropyLoss", **chosen)
    return LinearCrossEntropyLoss(output_embeddings, ignore_index=ignore_index, **kwargs)


def causal_loss(ignore_index: int = -100, compile: bool = False) -> LossOfLogits:
    """Build `fg_kernels.nn.causal_lm_loss`, which returns sum and count instead of a mean."""
    _mention_execution_choices("CausalLoss", compile=compile)
    return partial(causal_lm_loss, ignore_index=ignore_index)


def chunked_causal_loss(chunk_size: int = 4096, ignore_index: int = -100, compile: bool = False) -> LossOfLogits:
    """Build `fg_kernels.nn.causal_lm_loss`; a loss that needs no chunks of logits is `LinearCrossEntropyLoss`."""
    _mention_execution_choices("ChunkedCausalLoss", chunk_size=chunk_size != 4096, compile=compile)
    return partial(causal_lm_loss, ignore_index=ignore_index)


def _rounding(stochastic: bool) -> str:
    return "stochastic" if stochastic else "nearest"


def _mention_execution_choices(what: str, **choices: bool) -> None:
    """Say that options which choose how, not what, is computed have no counterpart."""
    for option in (name for name, asked in choices.items() if asked):
        logger.warning(
            "%s: %s only chose an implementation in the original; the same result is computed without", what, option
        )
