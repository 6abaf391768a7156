"""The events of a run, in the order in which the loop fires them.

init_end, train_begin,
(epoch_begin, (step_begin, (forward_backward_begin, forward_backward_end, substep_end)*, pre_optimizer_step,
 optimizer_step, train_metrics, step_end, [log_step, log], [evaluate], [save])*, epoch_end)*, train_end

`optimizer_step` is fired once per update, whatever the optimizer does inside.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final, Protocol, runtime_checkable

from fg_trainers.arguments import TrainingArguments
from fg_trainers.errors import ArgumentsError
from fg_trainers.state import TrainerControl, TrainerState

EVENTS: Final = (
    "init_end",
    "train_begin",
    "epoch_begin",
    "step_begin",
    "forward_backward_begin",
    "forward_backward_end",
    "substep_end",
    "pre_optimizer_step",
    "optimizer_step",
    "train_metrics",
    "step_end",
    "log_step",
    "log",
    "evaluate",
    "save",
    "epoch_end",
    "train_end",
)


class TrainerCallback:
    """Base of callbacks: define `on_<event>(args, state, control, **context)` for the events you want.

    `context` holds model, optimizer, lr_scheduler, processing_class and trainer, and per event: `logs` (log_step, log),
    `metrics` (evaluate, train_metrics). Handlers run on every rank. A handler may set flags of `control`; all ranks act
    on them after the next update. A callback with `state_dict` and `load_state_dict` is saved with checkpoints.
    """

    @property
    def name(self) -> str:
        """Name in messages and in checkpoints."""
        return type(self).__name__


class RecordCallback(TrainerCallback):
    """Base of callbacks that treat the records of training and of evaluation alike."""

    def record(self, state: TrainerState, values: Mapping[str, Any]) -> None:
        """Take one record. Called on every rank."""
        raise NotImplementedError

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        *,
        logs: Mapping[str, Any],
        **context: Any,
    ) -> None:
        self.record(state, logs)

    def on_evaluate(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        *,
        metrics: Mapping[str, Any],
        **context: Any,
    ) -> None:
        self.record(state, metrics)


@runtime_checkable
class StatefulCallback(Protocol):
    """A callback whose state travels with checkpoints."""

    def state_dict(self) -> dict[str, Any]: ...
    def load_state_dict(self, state: dict[str, Any]) -> None: ...


class CallbackList:
    """The callbacks of one trainer, with an index of which of them handle which event."""

    def __init__(self, callbacks: Iterable[TrainerCallback]) -> None:
        self._callbacks: list[TrainerCallback] = []
        self._handlers: dict[str, list[Callable[..., object]]] = defaultdict(list)
        for callback in callbacks:
            self.add(callback)

    def add(self, callback: TrainerCallback) -> None:
        """Append a callback; a handler for an event that does not exist is an error (it would never run)."""
        for attribute in dir(callback):
            event = attribute.removeprefix("on_")
            if attribute.startswith("on_") and callable(getattr(callback, attribute)) and event not in EVENTS:
                raise ArgumentsError(
                    f"{callback.name} handles '{attribute}', which is not an event; the events are {', '.join(EVENTS)}"
                )
        self._callbacks.append(callback)
        for event in EVENTS:
            handler = getattr(callback, f"on_{event}", None)
            if handler is not None:
                self._handlers[event].append(handler)

    def fire(
        self, event: str, args: TrainingArguments, state: TrainerState, control: TrainerControl, **context: Any
    ) -> None:
        """Call the handlers of one event in the order in which the callbacks were given."""
        for handler in self._handlers[event]:
            handler(args, state, control, **context)

    def state_dict(self) -> dict[str, Any]:
        """State of the stateful callbacks by name; a second callback of one name gets `#2`."""
        return {key: callback.state_dict() for key, callback in self._stateful()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Give each callback its state back. A callback added since the save keeps its fresh state."""
        for key, callback in self._stateful():
            if key in state:
                callback.load_state_dict(state[key])

    def _stateful(self) -> list[tuple[str, StatefulCallback]]:
        seen: dict[str, int] = defaultdict(int)
        found: list[tuple[str, StatefulCallback]] = []
        for callback in self._callbacks:
            if isinstance(callback, StatefulCallback):
                seen[callback.name] += 1
                count = seen[callback.name]
                found.append((callback.name if count == 1 else f"{callback.name}#{count}", callback))
        return found
