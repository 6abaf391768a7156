"""One process, one device."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Literal

import torch
from torch import Tensor, nn

from fg_checkpoint import SharingPattern, StateComponent
from fg_trainers.interfaces import Batch, LossSum, MicroBatchObserver, TokenLoss
from fg_trainers.optimizer_state import OptimizerState

if TYPE_CHECKING:
    from torch.optim import Optimizer


def default_device(use_cpu: bool = False) -> torch.device:
    """The current accelerator when there is one and it is wanted, else the CPU."""
    accelerator = torch.accelerator.current_accelerator(check_available=True)
    return torch.device("cpu") if use_cpu or accelerator is None else accelerator


class SingleDevice:
    """The strategy of a single process: gradients accumulate in place, every collective is the identity."""

    data_rank = 0
    data_size = 1

    def __init__(self, device: torch.device | str | None = None) -> None:
        self.device = default_device() if device is None else torch.device(device)
        self.model: nn.Module = nn.Module()

    def prepare(
        self, model_init: Callable[[], nn.Module], transforms: Sequence[Callable[[nn.Module], nn.Module]] = ()
    ) -> list[nn.Module]:
        """Construct the model on the device, then apply `transforms` in order."""
        with self.device:
            model = model_init()
        model = model.to(self.device)
        for transform in transforms:
            model = transform(model)
        self.model = model.train()
        return [self.model]

    def forward_backward(
        self,
        micro: Sequence[Batch],
        loss: TokenLoss,
        *,
        global_tokens: int,
        observer: MicroBatchObserver | None = None,
    ) -> LossSum:
        """Accumulate the gradient of (sum of token losses) / `global_tokens` over the micro-batches.

        Returns the undivided sum and count on the device, without waiting for it.
        """
        notify = observer or _nobody
        total, count = torch.zeros((), device=self.device), torch.zeros((), dtype=torch.int64, device=self.device)
        for batch in micro:
            notify("forward_backward_begin")
            part = self._loss(batch, loss)
            (part.sum / max(1, global_tokens)).backward()
            total, count = total + part.sum.detach(), count + part.count
            notify("forward_backward_end")
            notify("substep_end")
        return LossSum(total, count)

    @torch.no_grad()
    def evaluate(self, batch: Batch, loss: TokenLoss) -> LossSum:
        """Loss of one batch in evaluation mode."""
        with evaluation_mode(self.model):
            return self._loss(batch, loss)

    def named_parameters(self) -> Iterator[tuple[str, nn.Parameter]]:
        """Parameters under their names in the whole model; tied parameters once."""
        return self.model.named_parameters()

    def clip_grad_norm(self, max_norm: float | None) -> Tensor:
        """Global L2 norm of the gradients (0-d); they are scaled down to `max_norm` when it is set and exceeded.

        It is summed in fp32 or wider: in bf16 it would have three digits.
        """
        gradients = [p.grad for _, p in self.named_parameters() if p.grad is not None]
        norms = [torch.linalg.vector_norm(g, dtype=torch.promote_types(g.dtype, torch.float32)) for g in gradients]
        norm = torch.linalg.vector_norm(torch.stack(norms))
        if max_norm:
            nn.utils.clip_grads_with_norm_((p for _, p in self.named_parameters()), max_norm, norm)
        return norm

    def all_reduce(self, value: Tensor, op: Literal["sum"]) -> Tensor:
        """The value itself: there is nobody to combine it with."""
        return value

    def agree(self, code: int) -> int:
        """The code itself: there is nobody to disagree."""
        return code

    def components(self, optimizer: Optimizer) -> list[StateComponent]:
        """Weights and optimizer state, both keyed by whole-model parameter names."""
        names = {parameter: name for name, parameter in self.named_parameters()}
        return [
            StateComponent(key="model", stateful=self.model, pattern=SharingPattern.REPLICATED),
            StateComponent(
                key="optimizer", stateful=OptimizerState(optimizer, names), pattern=SharingPattern.REPLICATED
            ),
        ]

    @torch.no_grad()
    def generate(self, ids: Tensor, **options: Any) -> Tensor:
        """`model.generate` for token ids (batch, seq); returns prompt and continuation (batch, longer) on the CPU."""
        generate = getattr(self.model, "generate", None)
        if generate is None:
            raise TypeError(f"{type(self.model).__name__} has no generate(); give the trainer a model that has")
        with evaluation_mode(self.model):
            ids = ids.to(self.device)
            return generate(ids, attention_mask=torch.ones_like(ids), **options).cpu()

    def _loss(self, batch: Batch, loss: TokenLoss) -> LossSum:
        inputs = {key: value.to(self.device, non_blocking=True) for key, value in batch.items()}
        labels = inputs.pop("labels")
        outputs = self.model(**inputs, **loss.forward_options)
        return LossSum(*loss(outputs if isinstance(outputs, Tensor) else outputs.logits, labels))


@contextmanager
def evaluation_mode(model: nn.Module) -> Generator[None]:
    """While active, the model is in evaluation mode; afterwards every module is in the mode it was in before."""
    training = [module for module in model.modules() if module.training]
    model.eval()
    try:
        yield
    finally:
        for module in training:
            module.training = True


def _nobody(event: str) -> None:
    """The observer of somebody who does not observe."""
