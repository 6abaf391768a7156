"""The layers of a model, one after the other."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint


class LayerStack(nn.Module):
    """Run the layers in order, then the final norm: (batch, seq, hidden) → (batch, seq, hidden).

    With gradient checkpointing on (transformers' `gradient_checkpointing_enable()`), every `checkpoint_stride`-th
    layer keeps only its input and is computed again in the backward pass (Chen et al. 2016,
    https://arxiv.org/abs/1604.06174).
    """

    def __init__(
        self,
        *,
        layer_factory: Callable[..., nn.Module],
        num_hidden_layers: int,
        norm_factory: Callable[[], nn.Module] | None = None,
        checkpoint_stride: int = 1,
    ) -> None:
        super().__init__()
        self.layers = nn.ModuleList(layer_factory(layer_idx=index) for index in range(num_hidden_layers))
        self.norm = norm_factory() if norm_factory else nn.Identity()
        self.checkpoint_stride = checkpoint_stride
        self.gradient_checkpointing = False
        self._gradient_checkpointing_func = partial(checkpoint, use_reentrant=False)

    def forward(self, hidden_states: Tensor, **context: Any) -> Tensor:
        recompute = self.gradient_checkpointing and self.training
        for index, layer in enumerate(self.layers):
            if recompute and index % self.checkpoint_stride == 0:
                hidden_states = self._gradient_checkpointing_func(partial(layer, **context), hidden_states)
            else:
                hidden_states = layer(hidden_states, **context)
        return self.norm(hidden_states)
