"""Which loss a model is trained with, and what its forward pass must return for it."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from fg_kernels.nn import LinearCrossEntropyLoss, causal_lm_loss

if TYPE_CHECKING:
    from torch import Tensor, nn

LossFunction = Callable[["Tensor", "Tensor"], "tuple[Tensor, Tensor]"]


@dataclass(frozen=True, slots=True, kw_only=True)
class CausalLoss:
    """A `TokenLoss`: sum and count over the supervised tokens of a micro-batch."""

    function: LossFunction
    forward_options: Mapping[str, Any] = field(default_factory=dict)
    """Keywords for the model's forward, so that it returns what `function` takes."""

    def __call__(self, outputs: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        return self.function(outputs, labels)


def loss_for(
    model: nn.Module,
    factory: Callable[[nn.Module], LossFunction] | None = None,
    function: LossFunction | None = None,
) -> CausalLoss:
    """The loss that fits `model`; `function`, when given, is it, and takes the logits.

    A model that declares `can_return_hidden_states` never forms its logits: `factory` (default: linear cross entropy)
    is called with its output embedding. Any other model is trained on its logits.
    """
    if function is not None:
        return CausalLoss(function=function, forward_options=_forward_options(model))
    head = getattr(model, "get_output_embeddings", lambda: None)()
    if head is not None and getattr(model, "can_return_hidden_states", False):
        fused = (factory or LinearCrossEntropyLoss)(head)
        return CausalLoss(function=fused, forward_options=_forward_options(model, return_hidden_states=True))
    return CausalLoss(function=causal_lm_loss, forward_options=_forward_options(model))


def _forward_options(model: nn.Module, **options: Any) -> dict[str, Any]:
    """`options`, and no cache for models that have one.

    Training and evaluation have no use for it, and the models of transformers look for packed documents in
    `position_ids` only when there is none: with a cache, one document would attend to the next.
    """
    takes_cache = "use_cache" in inspect.signature(model.forward).parameters
    return {**options, **({"use_cache": False} if takes_cache else {})}
