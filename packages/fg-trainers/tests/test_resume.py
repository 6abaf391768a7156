"""A run that is stopped and resumed is the run that was never stopped."""

from __future__ import annotations

import itertools
import os
import signal

import pytest
import torch

from fg_config import Project, save_run_record
from fg_kernels import AdamW, Muon, make_re_multiopt
from fg_trainers import JsonLogger, Trainer, TrainerCallback, TrainingArguments
from fg_trainers.callbacks.json_logger import read_records
from fg_trainers.errors import ResumeError


class StopAt(TrainerCallback):
    """Does something once, after a given update."""

    def __init__(self, step, action):
        self._step, self._action = step, action

    def on_step_end(self, args, state, control, **context):
        if state.global_step == self._step:
            self._action(control)


def arguments(directory, **changes):
    settings = {
        "output_dir": str(directory),
        "max_steps": 24,
        "per_device_train_batch_size": 4,
        "learning_rate": 1e-2,
        "logging_steps": 5,
        "save_steps": 4,
        "eval_strategy": "steps",
        "eval_steps": 7,
        "seed": 1,
    }
    return TrainingArguments(**{**settings, **changes})


def run(make_model, rows, directory, *extra, **changes):
    trainer = Trainer(
        arguments(directory, **changes),
        model=make_model(),
        train_dataset=rows,
        eval_dataset=rows[:10],
        callbacks=[JsonLogger(), *extra],
    )
    return trainer, trainer.train()


def history(directory):
    (path,) = directory.glob("runs/*/trainer_logs.jsonl")
    ignored = {"timestamp", "eval_runtime", "arguments"}
    return [{k: v for k, v in record.items() if k not in ignored} for record in read_records(path)]


def parameters(trainer):
    return torch.cat([parameter.flatten() for parameter in trainer.model.parameters()])


def stop_and_save(control):
    control.should_save = control.should_training_stop = True


def abort(control):
    control.should_abort_without_save = True


def press_ctrl_c(control):
    os.kill(os.getpid(), signal.SIGINT)


@pytest.mark.parametrize("action", [stop_and_save, abort, press_ctrl_c])
def test_resuming_gives_the_weights_and_the_log_of_an_uninterrupted_run(make_model, rows, tmp_path, action):
    whole, _ = run(make_model, rows, tmp_path / "whole")
    run(make_model, rows, tmp_path / "parts", StopAt(10, action))
    resumed, output = run(make_model, rows, tmp_path / "parts")
    assert output.global_step == 24
    assert torch.equal(parameters(resumed), parameters(whole))
    assert history(tmp_path / "parts") == history(tmp_path / "whole")


def test_ctrl_c_saves_the_update_it_interrupts(make_model, rows, tmp_path):
    trainer, output = run(make_model, rows, tmp_path, StopAt(10, press_ctrl_c))
    assert output.interrupted
    assert [ref.step for ref in trainer.store.list()][-1] == 10
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_a_second_ctrl_c_aborts_and_keeps_the_last_save(make_model, rows, tmp_path):
    def twice(control):
        press_ctrl_c(control)
        press_ctrl_c(control)

    with pytest.raises(KeyboardInterrupt):
        run(make_model, rows, tmp_path, StopAt(10, twice))
    trainer, _ = run(make_model, rows, tmp_path, max_steps=8)
    assert [ref.step for ref in trainer.store.list()] == [4, 8]
    assert trainer.state.global_step == 8


def test_a_damaged_checkpoint_is_refused_by_name_and_the_older_one_only_used_when_told(make_model, rows, tmp_path):
    run(make_model, rows, tmp_path, max_steps=8)
    newest = tmp_path / "checkpoints" / "checkpoint-8" / "model.safetensors"
    content = bytearray(newest.read_bytes())
    content[-3] ^= 0x10
    newest.write_bytes(content)
    with pytest.raises(ResumeError, match=r"checkpoint-8 is damaged.*(?s:.*)checkpoint-4"):
        run(make_model, rows, tmp_path)
    older = tmp_path / "checkpoints" / "checkpoint-4"
    _, output = run(make_model, rows, tmp_path, resume_from_checkpoint=str(older))
    assert output.global_step == 24


def test_a_checkpoint_of_another_model_is_refused(make_model, rows, tmp_path):
    run(make_model, rows, tmp_path, max_steps=4)

    def other():
        model = make_model()
        model.lm_head = torch.nn.Linear(16, 51, bias=False)
        return model

    with pytest.raises(ResumeError, match=r"lm_head\.weight"):
        run(other, rows, tmp_path)


def test_a_fresh_start_never_silently_replaces_checkpoints(make_model, rows, tmp_path):
    run(make_model, rows, tmp_path, max_steps=4)
    with pytest.raises(ResumeError, match="overwrite_output_dir"):
        run(make_model, rows, tmp_path, resume_from_checkpoint=False)
    trainer, _ = run(
        make_model, rows, tmp_path, resume_from_checkpoint=False, overwrite_output_dir=True, max_steps=2, save_steps=1
    )
    assert [ref.step for ref in trainer.store.list()] == [1, 2]


def test_a_path_that_is_no_checkpoint_is_named(make_model, rows, tmp_path):
    with pytest.raises(ResumeError, match=r"nowhere is not a checkpoint .*none"):
        run(make_model, rows, tmp_path, resume_from_checkpoint=str(tmp_path / "nowhere"))


def test_a_branch_from_another_run_leaves_that_run_alone(make_model, rows, tmp_path):
    run(make_model, rows, tmp_path / "a", max_steps=12)
    before = {p: p.read_bytes() for p in (tmp_path / "a").rglob("*") if p.is_file()}
    start = str(tmp_path / "a" / "checkpoints" / "checkpoint-8")
    run(make_model, rows, tmp_path / "b", resume_from_checkpoint=start, max_steps=14)
    assert {p: p.read_bytes() for p in (tmp_path / "a").rglob("*") if p.is_file()} == before
    assert [record["global_step"] for record in history(tmp_path / "b")][:2] == [8, 10]


def test_going_back_on_purpose_is_not_undone_by_the_next_start(make_model, rows, tmp_path):
    run(make_model, rows, tmp_path, max_steps=12)
    older = str(tmp_path / "checkpoints" / "checkpoint-8")
    trainer, _ = run(make_model, rows, tmp_path, StopAt(10, stop_and_save), resume_from_checkpoint=older)
    assert [ref.step for ref in trainer.store.list()] == [8, 10]
    trainer, _ = run(make_model, rows, tmp_path, max_steps=11)
    assert trainer.state.global_step == 11
    steps = [record["global_step"] for record in history(tmp_path) if "loss" in record]
    assert steps == sorted(set(steps))


def test_a_changed_option_of_the_optimizer_takes_effect(make_model, rows, tmp_path):
    run(make_model, rows, tmp_path, max_steps=4)
    trainer, _ = run(make_model, rows, tmp_path, max_steps=5, weight_decay=0.5)
    assert trainer.optimizer.param_groups[0]["weight_decay"] == 0.5


def test_ending_an_epoch_and_saving_in_one_update_resumes_in_the_next_epoch(make_model, rows, tmp_path):
    class EndEpochAtFive(TrainerCallback):
        def on_step_end(self, args, state, control, **context):
            control.should_epoch_stop = control.should_save = state.global_step == 5

    whole, _ = run(make_model, rows, tmp_path / "whole", EndEpochAtFive())
    run(make_model, rows, tmp_path / "parts", EndEpochAtFive(), StopAt(6, abort))
    resumed, _ = run(make_model, rows, tmp_path / "parts", EndEpochAtFive())
    assert torch.equal(parameters(resumed), parameters(whole))
    assert resumed.state.epoch > 1


def test_training_again_in_one_process_goes_on(make_model, rows, tmp_path):
    trainer, output = run(make_model, rows, tmp_path, StopAt(10, press_ctrl_c))
    assert (output.global_step, output.interrupted) == (10, True)
    output = trainer.train()
    assert (output.global_step, output.interrupted) == (24, False)


def test_an_unreadable_log_is_set_aside_and_the_run_goes_on(make_model, rows, tmp_path):
    run(make_model, rows, tmp_path, max_steps=4, logging_dir=str(tmp_path / "logs"))
    log = tmp_path / "logs" / JsonLogger.file_name
    log.write_text("nonsense\n" + log.read_text())
    _, output = run(make_model, rows, tmp_path, max_steps=8, logging_dir=str(tmp_path / "logs"))
    assert output.global_step == 8
    assert log.with_name(f"{log.name}.1.bak").read_text().startswith("nonsense")
    assert [record["global_step"] for record in read_records(log)] == [4, 5, 7]


@pytest.fixture
def started_by(tmp_path):
    """started_by(project, config): the directory of a run that was started like that, with its record."""
    numbers = itertools.count()

    def start(project, config):
        configs = tmp_path / project / "templates" / "configs"
        configs.mkdir(parents=True, exist_ok=True)
        (tmp_path / "forgather_workspace").mkdir(exist_ok=True)
        (tmp_path / project / "meta.yaml").touch()
        (configs / config).write_text("main: 1\n")
        directory = tmp_path / "runs" / str(next(numbers))
        save_run_record(Project(config, tmp_path / project), directory)
        return str(directory)

    return start


def warnings(caplog):
    found = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    caplog.clear()
    return [message.partition("; ")[0] for message in found]


def test_going_on_from_the_checkpoint_of_another_config_is_told(make_model, rows, tmp_path, started_by, caplog):
    def run_of(project, config, steps, **changes):
        logs = started_by(project, config)
        run(make_model, rows, tmp_path / "out", max_steps=steps, logging_dir=logs, **changes)
        return warnings(caplog)

    assert run_of("mine", "a.yaml", 4) == run_of("mine", "a.yaml", 5) == []
    assert run_of("mine", "b.yaml", 6) == [
        "warning: this run of b.yaml goes on from checkpoint-5, which a run of a.yaml wrote"
    ]
    assert run_of("mine", "b.yaml", 7) == []
    assert run_of("other", "b.yaml", 8) == [
        f"warning: this run of b.yaml in {tmp_path}/other goes on from checkpoint-7, which a run of b.yaml in "
        f"{tmp_path}/mine wrote"
    ]
    chosen = str(tmp_path / "out" / "checkpoints" / "checkpoint-8")
    assert run_of("mine", "a.yaml", 9, resume_from_checkpoint=chosen) == []


def test_a_project_that_was_moved_goes_on_in_silence(make_model, rows, tmp_path, started_by, caplog):
    run(make_model, rows, tmp_path / "out", max_steps=4, logging_dir=started_by("before", "a.yaml"))
    (tmp_path / "before").rename(tmp_path / "after")
    run(make_model, rows, tmp_path / "out", max_steps=5, logging_dir=started_by("after", "a.yaml"))
    assert warnings(caplog) == []


def test_a_run_without_a_record_goes_on_in_silence(make_model, rows, tmp_path, started_by, caplog):
    run(make_model, rows, tmp_path / "out", max_steps=4)
    trainer, _ = run(make_model, rows, tmp_path / "out", max_steps=5, logging_dir=started_by("mine", "a.yaml"))
    assert (trainer.state.global_step, warnings(caplog)) == (5, [])


def test_a_failed_resume_is_not_followed_by_a_fresh_start(make_model, rows, tmp_path):
    run(make_model, rows, tmp_path, max_steps=4)
    args = arguments(tmp_path, resume_from_checkpoint=str(tmp_path / "nowhere"))
    trainer = Trainer(args, model=make_model(), train_dataset=rows, callbacks=[])
    for _ in range(2):
        with pytest.raises(ResumeError, match="nowhere"):
            trainer.train()


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_several_optimizers_with_stochastic_rounding_resume_bit_for_bit(make_model, rows, tmp_path, dtype):
    def optimizer(named_parameters):
        return make_re_multiopt(
            named_parameters,
            optimizer_map=[("query.weight", "muon"), (".*", "adamw")],
            factories={"muon": lambda p: Muon(p, lr=0.02), "adamw": lambda p: AdamW(p, lr=1e-2)},
        )

    def run_in(directory, *extra):
        trainer = Trainer(
            arguments(directory, eval_strategy="no"),
            model_init=lambda: make_model(dtype),
            train_dataset=rows,
            optimizer_factory=optimizer,
            callbacks=[JsonLogger(), *extra],
        )
        trainer.train()
        return trainer

    whole = run_in(tmp_path / "whole")
    run_in(tmp_path / "parts", StopAt(10, stop_and_save))
    resumed = run_in(tmp_path / "parts")
    assert torch.equal(parameters(resumed), parameters(whole))
    assert history(tmp_path / "parts") == history(tmp_path / "whole")
    assert [group["lr"] for group in resumed.optimizer.param_groups] == [0.0, 0.0]
