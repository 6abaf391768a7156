"""The one training loop. It owns the order of events; everything that can differ between runs is given to it."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from fg_checkpoint import RNGState, SharingPattern, StateComponent
from fg_data_server import Cursor
from fg_trainers import defaults, evaluation, persistence
from fg_trainers.arguments import TrainingArguments
from fg_trainers.cadence import Cadence
from fg_trainers.callbacks.base import CallbackList, TrainerCallback
from fg_trainers.callbacks.info import InfoCallback
from fg_trainers.callbacks.metrics import DefaultMetrics
from fg_trainers.callbacks.progress import ProgressCallback
from fg_trainers.data.collate import DataCollatorForCausalLM
from fg_trainers.data.loader import Collator, Update, UpdateLoader, evaluation_batches
from fg_trainers.data.sources import as_stream
from fg_trainers.errors import ArgumentsError, DatasetError
from fg_trainers.interfaces import Batch, LossSum, ParallelStrategy, SampleSource
from fg_trainers.interrupts import Interrupt, graceful_interrupts
from fg_trainers.losses import LossFunction, loss_for
from fg_trainers.meters import FlopsPerToken, LogWindow, RateMeter
from fg_trainers.state import TrainerControl, TrainerState, TrainOutput
from fg_trainers.strategies.single import SingleDevice, default_device

logger = logging.getLogger(__name__)

OptimizerFactory = Callable[[Iterator[tuple[str, nn.Parameter]]], Optimizer]


class Trainer:
    """Trains a causal language model.

    Args:
        args: settings, as `TrainingArguments` or as a mapping of them.
        model, model_init: the model, or a function that constructs it (exactly one of the two).
        train_dataset, eval_dataset: a `SampleSource`, or a sequence of token-id lists or of mappings
            with `input_ids`.
        data_collator: samples to a micro-batch; default `DataCollatorForCausalLM`.
        processing_class: the tokenizer; written beside the weights.
        callbacks: None is `default_callbacks()`; a list replaces them.
        optimizer_factory: called with (name, parameter) pairs; without one, AdamW from the arguments.
        lr_scheduler_factory: called with `optimizer=`; without one, `lr_scheduler_type` from the arguments.
        fused_loss_factory: called with the output embedding; returns a loss of hidden states and labels.
        compute_loss_func: (logits, labels) → (sum, count) over the labels[:, 1:] that are not -100.
        strategy: how an update is spread over devices; default one process on one device.

    Raises:
        ArgumentsError: the arguments contradict each other.
    """

    def __init__(
        self,
        args: TrainingArguments | Mapping[str, Any],
        *,
        model: nn.Module | None = None,
        model_init: Callable[[], nn.Module] | None = None,
        train_dataset: SampleSource | Sequence[Any] | None = None,
        eval_dataset: SampleSource | Sequence[Any] | None = None,
        data_collator: Collator | None = None,
        processing_class: Any = None,
        callbacks: Sequence[TrainerCallback] | None = None,
        optimizer_factory: OptimizerFactory | None = None,
        lr_scheduler_factory: Callable[..., LRScheduler] | None = None,
        fused_loss_factory: Callable[[nn.Module], LossFunction] | None = None,
        compute_loss_func: LossFunction | None = None,
        strategy: ParallelStrategy | None = None,
    ) -> None:
        if (model is None) == (model_init is None):
            raise ArgumentsError("give the trainer a model or a model_init, and not both")
        self.args = args if isinstance(args, TrainingArguments) else TrainingArguments.from_mapping(args)
        if model is not None and self.args.default_dtype is not None:
            raise ArgumentsError("default_dtype is for a model that is yet to be made: give the trainer a model_init")
        self.state = TrainerState()
        self.control = TrainerControl()
        self._agreed = TrainerControl()
        self.callbacks = CallbackList(self.default_callbacks() if callbacks is None else callbacks)
        self.processing_class = processing_class
        self.strategy: ParallelStrategy = (
            SingleDevice(default_device(self.args.use_cpu)) if strategy is None else strategy
        )
        self.store = persistence.checkpoint_store(Path(self.args.output_dir), self.args.save_total_limit)
        self._model_init = model_init or defaults.constant(model)
        self._train_source = None if train_dataset is None else as_stream(train_dataset, seed=self.args.seed)
        self._eval_source = None if eval_dataset is None else as_stream(eval_dataset, seed=None)
        self._collate = data_collator or DataCollatorForCausalLM(processing_class)
        self._optimizer_factory = optimizer_factory
        self._scheduler_factory = lr_scheduler_factory
        self._loss_factory = fused_loss_factory
        self._compute_loss = compute_loss_func
        self._last_metrics: dict[str, float] = {}
        self._rates = RateMeter(self.args.speed_metrics_start_step)
        self._prepared = False

    @classmethod
    def default_callbacks(cls) -> list[TrainerCallback]:
        """Throughput, a table of progress, and a description of the run."""
        return [DefaultMetrics(), ProgressCallback(), InfoCallback()]

    # --- what a run consists of ------------------------------------------------------------------------------------

    def prepare(self) -> None:
        """Seed, construct model, optimizer and schedule, and go on from a checkpoint. Called by `train`; idempotent."""
        if self._prepared:
            return
        defaults.seed_everything(self.args)
        with defaults.default_dtype(self.args.dtype_name):
            (self.model,) = self.strategy.prepare(self._model_init, defaults.model_transforms(self.args))
        self._flops_per_token = FlopsPerToken(self.model)
        self.loss = loss_for(self.model, self._loss_factory, self._compute_loss)
        self.optimizer = self._make_optimizer()
        self.loader = self._make_loader()
        self.state.max_steps = self._max_steps()
        self.scheduler = self._make_scheduler()
        self._cursor: Cursor | None = self.loader.source.start() if self.loader else None
        self._window = LogWindow()
        self._cadences = {
            "log": Cadence(self.args.logging_strategy, self.args.logging_steps),
            "evaluate": Cadence(self.args.eval_strategy, self.args.eval_steps),
            "save": Cadence(self.args.save_strategy, self.args.save_steps),
        }
        self._resume()
        self._prepared = True
        self._fire("init_end")

    def train(self) -> TrainOutput:
        """Run until `max_steps`, a callback's request or a signal.

        Returns:
            The last step and the metrics of the whole run; `interrupted` when a signal ended it.

        Raises:
            ResumeError: the checkpoint to go on from is damaged or of another run.
            DatasetError: there is nothing to train on.
        """
        self.prepare()
        if self.loader is None:
            raise DatasetError("there is no train_dataset")
        if self._eval_source is not None:
            # Now, and not at the first evaluation: by then there is work to lose.
            evaluation.require_tokens(self._evaluation_batches(self._eval_source))
        self.control, self._agreed = TrainerControl(), TrainerControl()
        self._rates = RateMeter(self.args.speed_metrics_start_step)
        if self._finished():
            logger.info("all %d updates are done; nothing is left to train (raise max_steps)", self.state.global_step)
        with graceful_interrupts() as interrupt:
            self._fire("train_begin")
            while not self._finished():
                self._epoch(self.loader, interrupt)
            self._save_last()
        metrics = self._final_metrics()
        self._fire("train_end", metrics=metrics)
        return TrainOutput(global_step=self.state.global_step, metrics=metrics, interrupted_by=interrupt.signal)

    # --- the loop ----------------------------------------------------------------------------------------------------

    def _epoch(self, loader: UpdateLoader, interrupt: Interrupt) -> None:
        assert self._cursor is not None
        epoch = self._cursor.epoch
        self._fire("epoch_begin")
        while not self._finished() and self._cursor.epoch == epoch:
            self._update(loader.fetch(self._cursor))
            asked = self._agree(interrupt)
            if asked.should_epoch_stop and self._cursor.epoch == epoch:
                self._cursor = loader.next_epoch(self._cursor)
            done = self.state.global_step >= self.state.max_steps
            self._after_update(asked, epoch_ended=done or self._cursor.epoch != epoch)
        self._fire("epoch_end")

    def _update(self, update: Update) -> None:
        """One optimizer step on the micro-batches of `update`, then the commit of its position in the data."""
        self._fire("step_begin")
        tokens = int(self.strategy.all_reduce(torch.tensor(update.tokens), "sum"))
        loss = self.strategy.forward_backward(
            update.micro_batches, self.loss, global_tokens=tokens, observer=self._fire
        )
        grad_norm = self.strategy.clip_grad_norm(self.args.max_grad_norm)
        self._fire("pre_optimizer_step")
        self.optimizer.step()
        self.optimizer.zero_grad()
        self._fire("optimizer_step")
        self.scheduler.step()
        self._check_count(loss, tokens)
        self._advance(update, tokens, loss, grad_norm)
        self._fire("train_metrics", metrics={"loss": loss, "grad_norm": grad_norm, "tokens": tokens})
        self._fire("step_end")

    def _advance(self, update: Update, tokens: int, loss: LossSum, grad_norm: torch.Tensor) -> None:
        assert self._train_source is not None
        sequence_length = max(batch["input_ids"].shape[1] for batch in update.micro_batches)
        self._cursor = update.cursor
        self._window.add(loss, grad_norm)
        self._rates.add(tokens)
        self.state.global_step += 1
        self.state.total_tokens += tokens
        self.state.total_flos += self._flops_per_token(sequence_length) * tokens
        self.state.epoch = self._train_source.epochs(update.cursor)

    def _check_count(self, loss: LossSum, tokens: int) -> None:
        """Once per process: a loss that counts otherwise than the loader got a gradient divided by a wrong number."""
        if self._rates.updates == 0:
            counted = int(self.strategy.all_reduce(loss.count, "sum"))
            if counted != tokens:
                raise ArgumentsError(
                    f"the loss counts {counted} tokens in an update with {tokens} labels to predict; it must count the "
                    "labels[:, 1:] that are not -100"
                )

    def _agree(self, interrupt: Interrupt) -> TrainerControl:
        """Once per update, combine the requests of all ranks; a signal on any rank is a request to save and stop.

        A request raised later in the same update (while logging, say) is taken up after the next one: ranks that acted
        on their own flags would part.
        """
        if interrupt.signal is not None:
            self.control.should_save = self.control.should_training_stop = True
        self._agreed = TrainerControl.from_bits(self.strategy.agree(self.control.to_bits()))
        self.control.clear_requests()
        return self._agreed

    def _after_update(self, asked: TrainerControl, *, epoch_ended: bool) -> None:
        """Log, evaluate and save, in this order, as far as they are due or asked for."""
        step = self.state.global_step
        first = self.args.logging_first_step and step == 1
        due = {name: cadence.due(step, epoch_ended=epoch_ended) for name, cadence in self._cadences.items()}
        if due["log"] or first or asked.should_log:
            self._log()
        if self._eval_source is not None and (due["evaluate"] or asked.should_evaluate):
            self._evaluate_and_tell()
        if (due["save"] or asked.should_save) and not asked.should_abort_without_save:
            self.save_checkpoint()

    def _finished(self) -> bool:
        stop = self._agreed.should_training_stop or self._agreed.should_abort_without_save
        return stop or self.state.global_step >= self.state.max_steps

    def _log(self) -> None:
        logs = {
            **self._window.summary(self.strategy),
            "learning_rate": self.scheduler.get_last_lr()[0],
            "total_tokens": self.state.total_tokens,
            "total_flos": self.state.total_flos,
            "epoch": self.state.epoch,
        }
        self._cadences["log"].last = self.state.global_step
        self._fire("log_step", logs=logs)
        self._fire("log", logs=logs)

    # --- evaluation --------------------------------------------------------------------------------------------------

    def evaluate(self, eval_dataset: SampleSource | Sequence[Any] | None = None) -> dict[str, float]:
        """Loss over a dataset; `fg_trainers.evaluation.evaluate` says what is returned."""
        self.prepare()
        source = self._eval_source if eval_dataset is None else as_stream(eval_dataset, seed=None)
        if source is None:
            raise DatasetError("there is no eval_dataset")
        batches = self._evaluation_batches(source)
        limit = None if self.args.max_eval_steps < 0 else self.args.max_eval_steps
        return evaluation.evaluate(self.strategy, self.loss, batches, max_batches=limit)

    def _evaluation_batches(self, source: SampleSource) -> Iterator[Batch]:
        return evaluation_batches(
            source,
            self._collate,
            batch_size=self.args.per_device_eval_batch_size,
            data_rank=self.strategy.data_rank,
            data_size=self.strategy.data_size,
        )

    def _evaluate_and_tell(self) -> None:
        metrics = {**self.evaluate(), "epoch": self.state.epoch}
        self._cadences["evaluate"].last = self.state.global_step
        self._fire("evaluate", metrics=metrics)
        self._last_metrics = metrics

    # --- checkpoints -------------------------------------------------------------------------------------------------

    def save_checkpoint(self) -> None:
        """Save everything the run needs to go on, as `checkpoints/checkpoint-<global_step>`."""
        output_dir = Path(self.args.output_dir)
        persistence.write_model_directory(output_dir, self.model, self.processing_class)
        self._cadences["save"].last = self.state.global_step
        metrics = persistence.as_mapping(self._last_metrics)
        files = persistence.files_beside_weights(output_dir, self.args.run_dir)
        self.store.save(self.state.global_step, self._components(), metrics=metrics, extra_files=files).wait()
        self._fire("save")

    def _save_last(self) -> None:
        """Save at the end unless this very step is saved, saving is switched off, or the run was aborted."""
        saved = self._cadences["save"].last == self.state.global_step
        if not (saved or self.args.save_strategy == "no" or self._agreed.should_abort_without_save):
            self.save_checkpoint()

    def _components(self) -> list[StateComponent]:
        progress = persistence.FunctionState(save=self._progress, load=self._load_progress)
        position = persistence.FunctionState(save=self._position, load=self._load_position)
        return [
            *self.strategy.components(self.optimizer),
            StateComponent(key="scheduler", stateful=self.scheduler, pattern=SharingPattern.REPLICATED),
            StateComponent(key="trainer", stateful=progress, pattern=SharingPattern.REPLICATED),
            StateComponent(key="dataset", stateful=position, pattern=SharingPattern.GLOBAL),
            StateComponent(key="callbacks", stateful=self.callbacks, pattern=SharingPattern.GLOBAL),
            StateComponent(key="rng", stateful=RNGState(), pattern=SharingPattern.PER_RANK),
        ]

    def _resume(self) -> None:
        if self.args.resume_from_checkpoint is False:
            persistence.require_fresh(self.store, overwrite=self.args.overwrite_output_dir)
        ref = persistence.checkpoint_to_resume(self.store, self.args.resume_from_checkpoint)
        if ref is None:
            return
        persistence.load_checkpoint(self.store, ref, self._components())
        persistence.discard_after(self.store, ref)
        persistence.tell_resumed(ref, self.args.run_dir, choice=self.args.resume_from_checkpoint)

    def _progress(self) -> dict[str, Any]:
        return {
            "global_step": self.state.global_step,
            "total_tokens": self.state.total_tokens,
            "total_flos": self.state.total_flos,
            "epoch": self.state.epoch,
            "last": {name: cadence.last for name, cadence in self._cadences.items()},
            "window": self._window.state_dict(),
        }

    def _load_progress(self, state: dict[str, Any]) -> None:
        self.state.global_step = state["global_step"]
        self.state.total_tokens, self.state.total_flos = state["total_tokens"], state["total_flos"]
        self.state.epoch = state["epoch"]
        for name, last in state["last"].items():
            self._cadences[name].last = last
        self._window.load_state_dict(state["window"])

    def _position(self) -> dict[str, Any]:
        return {"cursor": None if self._cursor is None else self._cursor.to_json()}

    def _load_position(self, state: dict[str, Any]) -> None:
        self._cursor = None if state["cursor"] is None else Cursor.from_json(state["cursor"])

    # --- pieces of prepare() -----------------------------------------------------------------------------------------

    def _make_optimizer(self) -> Optimizer:
        named = self.strategy.named_parameters()
        if self._optimizer_factory is not None:
            return self._optimizer_factory(named)
        return defaults.default_optimizer(self.args, named)

    def _make_scheduler(self) -> LRScheduler:
        if self._scheduler_factory is not None:
            return self._scheduler_factory(optimizer=self.optimizer)
        return defaults.default_schedule(self.args, self.optimizer, self.state.max_steps)

    def _make_loader(self) -> UpdateLoader | None:
        if self._train_source is None:
            return None
        return UpdateLoader(
            source=self._train_source,
            collate=self._collate,
            batch_size=self.args.per_device_train_batch_size,
            accumulation=self.args.gradient_accumulation_steps,
            data_rank=self.strategy.data_rank,
            data_size=self.strategy.data_size,
        )

    def _max_steps(self) -> int:
        if self.args.max_steps > 0 or self.loader is None:
            return max(0, self.args.max_steps)
        return self.loader.updates(self.args.num_train_epochs)

    def _final_metrics(self) -> dict[str, Any]:
        return {
            **self._rates.summary(),
            "step": self.state.global_step,
            "total_tokens": self.state.total_tokens,
            "total_flops": self.state.total_flos,
            "epoch": self.state.epoch,
        }

    def _fire(self, event: str, **extra: Any) -> None:
        self.callbacks.fire(
            event,
            self.args,
            self.state,
            self.control,
            model=self.model,
            optimizer=self.optimizer,
            lr_scheduler=self.scheduler,
            processing_class=self.processing_class,
            trainer=self,
            **extra,
        )
