"""Which events fire, in which order, and what a callback may ask for."""

from __future__ import annotations

import pytest

from fg_trainers import Trainer, TrainerCallback, TrainingArguments
from fg_trainers.callbacks.base import EVENTS, CallbackList
from fg_trainers.errors import ArgumentsError


def recorder():
    """A callback that handles every event by writing down its name."""

    class Recorder(TrainerCallback):
        events: list[str] = []  # noqa: RUF012  # one list for one recorder

    def handler(event):
        return lambda self, args, state, control, **context: self.events.append(event)

    for event in EVENTS:
        setattr(Recorder, f"on_{event}", handler(event))
    Recorder.events = []
    return Recorder()


def train(make_model, rows, tmp_path, *callbacks, **settings):
    args = TrainingArguments(output_dir=str(tmp_path), per_device_train_batch_size=4, **settings)
    trainer = Trainer(args, model=make_model(), train_dataset=rows, eval_dataset=rows[:4], callbacks=callbacks)
    return trainer, trainer.train()


def test_the_order_of_one_update(make_model, rows, tmp_path):
    seen = recorder()
    train(
        make_model,
        rows,
        tmp_path,
        seen,
        max_steps=1,
        gradient_accumulation_steps=2,
        logging_steps=1,
        eval_strategy="steps",
        eval_steps=1,
        save_steps=1,
    )
    micro = ["forward_backward_begin", "forward_backward_end", "substep_end"]
    assert seen.events == [
        "init_end",
        "train_begin",
        "epoch_begin",
        "step_begin",
        *micro,
        *micro,
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
    ]


def test_periods_count_from_the_last_firing(make_model, rows, tmp_path):
    class SaveAtThree(TrainerCallback):
        def on_step_end(self, args, state, control, **context):
            control.should_save = state.global_step == 3

    class Saves(TrainerCallback):
        steps: list[int] = []  # noqa: RUF012

        def on_save(self, args, state, control, **context):
            self.steps.append(state.global_step)

    saves = Saves()
    train(make_model, rows, tmp_path, SaveAtThree(), saves, max_steps=12, save_steps=5)
    assert saves.steps == [3, 8, 12]


def test_epochs_follow_each_other_and_limit_the_run(make_model, rows, tmp_path):
    seen = recorder()
    trainer, output = train(make_model, rows, tmp_path, seen, num_train_epochs=2, save_strategy="epoch")
    assert output.global_step == 60  # 120 rows, 4 per update, twice
    assert seen.events.count("epoch_begin") == seen.events.count("epoch_end") == 2
    assert trainer.state.epoch == pytest.approx(2.0)
    assert [ref.step for ref in trainer.store.list()] == [30, 60]


def test_stopping_an_epoch_goes_on_with_the_next(make_model, rows, tmp_path):
    class StopFirst(TrainerCallback):
        def on_step_end(self, args, state, control, **context):
            control.should_epoch_stop = state.global_step == 3

    seen = recorder()
    trainer, _ = train(make_model, rows, tmp_path, StopFirst(), seen, max_steps=6, save_strategy="no")
    assert seen.events.count("epoch_begin") == 2
    assert trainer.state.epoch == pytest.approx(1 + 12 / 120)


def test_a_handler_of_an_event_that_does_not_exist_is_refused():
    class Misspelt(TrainerCallback):
        def on_step_ends(self, *args, **context):
            pass

    with pytest.raises(ArgumentsError, match="on_step_ends"):
        CallbackList([Misspelt()])


def test_evaluation_does_not_depend_on_the_batch_size(make_model, rows, tmp_path):
    losses = []
    for size in (1, 3, 64):
        args = TrainingArguments(output_dir=str(tmp_path), per_device_eval_batch_size=size, max_steps=1)
        metrics = Trainer(args, model=make_model(), eval_dataset=rows, callbacks=[]).evaluate()
        assert metrics["eval_tokens"] == sum(len(row) - 1 for row in rows)
        losses.append(metrics["eval_loss"])
    assert losses == pytest.approx([losses[0]] * 3, rel=1e-6)
