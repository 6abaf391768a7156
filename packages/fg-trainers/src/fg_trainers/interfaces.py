"""What the loop needs from the objects it is given. Nothing here is an implementation."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, Protocol, TypeAlias

if TYPE_CHECKING:
    from torch import Tensor, nn
    from torch.optim import Optimizer

    from fg_checkpoint import StateComponent
    from fg_data_server import Cursor, Sample

Batch: TypeAlias = "Mapping[str, Tensor]"
"""One micro-batch: `input_ids` and `labels`, each (batch, seq) int64, and further keyword arguments of the model."""


class LossSum(NamedTuple):
    """A loss that can still be combined exactly: the sum over supervised tokens, and how many there were."""

    sum: Tensor
    """0-d, fp32 or wider."""
    count: Tensor
    """0-d int64."""


class TokenLoss(Protocol):
    """Loss of one micro-batch from hidden states (batch, seq, hidden), or logits, and unshifted labels (batch, seq)."""

    @property
    def forward_options(self) -> Mapping[str, Any]:
        """Keywords for the model's forward, so that its output is what this loss takes."""
        ...

    def __call__(self, outputs: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]: ...


class MicroBatchObserver(Protocol):
    """Told by the strategy where each micro-batch begins and ends, because a strategy owns their order."""

    def __call__(self, event: Literal["forward_backward_begin", "forward_backward_end", "substep_end"]) -> None: ...


class ParallelStrategy(Protocol):
    """How one update is spread over devices.

    It owns forward and backward (a pipeline must); the loop never calls the model.
    """

    data_rank: int
    """Which share of each global batch this process reads, 0 ≤ data_rank < data_size."""
    data_size: int

    def prepare(
        self, model_init: Callable[[], nn.Module], transforms: Sequence[Callable[[nn.Module], nn.Module]]
    ) -> list[nn.Module]: ...
    def forward_backward(
        self, micro: Sequence[Batch], loss: TokenLoss, *, global_tokens: int, observer: MicroBatchObserver | None = None
    ) -> LossSum: ...
    def evaluate(self, batch: Batch, loss: TokenLoss) -> LossSum: ...
    def named_parameters(self) -> Iterator[tuple[str, nn.Parameter]]: ...
    def clip_grad_norm(self, max_norm: float | None) -> Tensor: ...
    def all_reduce(self, value: Tensor, op: Literal["sum"]) -> Tensor: ...
    def agree(self, code: int) -> int: ...
    def components(self, optimizer: Optimizer) -> list[StateComponent]: ...
    def generate(self, ids: Tensor, **options: Any) -> Tensor: ...


class SampleSource(Protocol):
    """A deterministic, endless sequence of samples addressed by a cursor (`fg_data_server.SampleStream`)."""

    def start(self) -> Cursor: ...
    def next(self, cursor: Cursor, n: int) -> tuple[list[Sample], Cursor]: ...
    def length(self, epoch: int) -> int: ...
    def epochs(self, cursor: Cursor) -> float: ...
    def one_pass(self, epoch: int = 0) -> Iterator[Sample]: ...
