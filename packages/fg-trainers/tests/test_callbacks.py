"""What the callbacks show and record."""

from __future__ import annotations

import io
import json
import math

import pytest

from fg_trainers import (
    BitsPerCharacter,
    DefaultMetrics,
    JsonLogger,
    ProgressCallback,
    ResumableSummaryWriter,
    TBLogger,
    TextgenCallback,
    Trainer,
    TrainerCallback,
    TrainingArguments,
)
from fg_trainers.callbacks.json_logger import read_records
from fg_trainers.errors import ArgumentsError, LaunchError


def train(make_model, rows, tmp_path, callbacks, **settings):
    args = TrainingArguments(
        **{
            "output_dir": str(tmp_path),
            "max_steps": 6,
            "per_device_train_batch_size": 4,
            "logging_steps": 2,
            "eval_strategy": "steps",
            "eval_steps": 3,
            "save_strategy": "no",
            **settings,
        }
    )
    trainer = Trainer(args, model=make_model(), train_dataset=rows, eval_dataset=rows[:5], callbacks=callbacks)
    return trainer, trainer.train()


def test_progress_prints_one_row_per_record_under_a_header(make_model, rows, tmp_path):
    stream = io.StringIO()
    train(make_model, rows, tmp_path, [DefaultMetrics(), ProgressCallback(output_stream=stream)], eval_strategy="no")
    header, *lines = stream.getvalue().splitlines()
    assert header.split() == ["step", "epoch", "loss", "grad", "lr", "tokens", "tok/s"]
    assert [line.split()[2] for line in lines] == ["2", "4", "6"]


def test_progress_columns_can_be_removed_and_changed(make_model, rows, tmp_path):
    stream = io.StringIO()
    columns = {"grad_norm": None, "loss": {"label": "nats", "format": ".1f"}}
    progress = ProgressCallback(output_stream=stream, step_columns=columns)
    train(make_model, rows, tmp_path, [progress], eval_strategy="no")
    assert stream.getvalue().splitlines()[0].split() == ["step", "epoch", "nats", "lr", "tokens"]


def test_an_output_stream_of_another_name_is_refused():
    with pytest.raises(ArgumentsError, match="stdoot"):
        ProgressCallback(output_stream="stdoot")


def test_json_lines_hold_every_record_and_what_the_run_was(make_model, rows, tmp_path):
    train(make_model, rows, tmp_path, [JsonLogger(note="first try")])
    (path,) = tmp_path.glob("runs/*/trainer_logs.jsonl")
    first, *records = read_records(path)
    assert first["note"] == "first try"
    assert first["arguments"]["max_steps"] == 6
    assert [(r["global_step"], "eval_loss" in r) for r in records] == [
        (2, False),
        (3, True),
        (4, False),
        (6, False),
        (6, True),
    ]


def test_an_incomplete_last_line_is_left_out_and_a_damaged_one_is_named(tmp_path):
    path = tmp_path / "log.jsonl"
    path.write_text('{"global_step": 1}\n{"global_st')
    assert read_records(path) == [{"global_step": 1}]
    path.write_text('{"global_step": 1}\nnonsense\n{"global_step": 3}\n')
    with pytest.raises(ValueError, match=r"log\.jsonl:2"):
        read_records(path)


def test_a_diverged_run_leaves_strict_json(make_model, rows, tmp_path):
    train(make_model, rows, tmp_path, [JsonLogger()], learning_rate=1e30, eval_strategy="no")
    (path,) = tmp_path.glob("runs/*/trainer_logs.jsonl")
    for line in path.read_text().splitlines():
        json.loads(line, parse_constant=lambda name: pytest.fail(f"{name} is not JSON"))


class AbortAt(TrainerCallback):
    def __init__(self, step):
        self._step = step

    def on_step_end(self, args, state, control, **context):
        control.should_abort_without_save = state.global_step == self._step


def test_a_logger_before_its_writer_is_an_error_and_not_silence(make_model, rows, tmp_path):
    writer = ResumableSummaryWriter()
    with pytest.raises(LaunchError, match="before those that write"):
        train(make_model, rows, tmp_path, [TBLogger(writer), writer])


def test_tensorboard_goes_on_in_the_directory_of_the_resumed_run(make_model, rows, tmp_path):
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    def callbacks():
        writer = ResumableSummaryWriter()
        return [writer, TBLogger(writer, {"note": "text"})]

    settings = {"save_strategy": "steps", "save_steps": 4}
    first, second = str(tmp_path / "a"), str(tmp_path / "b")
    # Aborted after update 7: the records of update 6 are beyond the checkpoint of update 4, and purged.
    train(make_model, rows, tmp_path, [*callbacks(), AbortAt(7)], max_steps=8, logging_dir=first, **settings)
    train(make_model, rows, tmp_path, callbacks(), max_steps=8, logging_dir=second, **settings)
    events = EventAccumulator(first).Reload()
    assert [event.step for event in events.Scalars("loss")] == [2, 4, 6, 8]
    assert "note/text_summary" in events.Tags()["tensors"]
    assert not list((tmp_path / "b").glob("events*"))


class Letters:
    """One token per letter."""

    bos_token_id, eos_token_id, pad_token_id = 0, 1, 1
    backend_tokenizer = None

    def __call__(self, texts, add_special_tokens=False, verbose=True, return_tensors=None):
        encode = lambda text: [2 + ord(letter) % 40 for letter in text]  # noqa: E731
        if return_tensors == "pt":
            import torch

            return {"input_ids": torch.tensor([encode(texts)])}
        return {"input_ids": [encode(text) for text in texts]}

    def decode(self, ids, skip_special_tokens=True):
        return "".join(chr(97 + int(i) % 26) for i in ids)

    def get_vocab(self):
        return {"a": 2}


def test_bits_per_character_come_from_the_loss_and_the_text(make_model, rows, tmp_path):
    from fg_data_server import ListSource

    seen = []

    class Metrics(TrainerCallback):
        def on_evaluate(self, args, state, control, *, metrics, **context):
            seen.append(metrics)

    texts = ListSource(["abcd", "abcdefgh"])
    train(make_model, rows, tmp_path, [BitsPerCharacter(texts, Letters()), Metrics()])
    # 12 characters, 12 letters and 2 EOS are predicted.
    assert seen[0]["bits_per_char"] == pytest.approx(seen[0]["eval_loss"] / math.log(2) * 14 / 12)


def test_sample_text_never_changes_what_is_trained(make_model, rows, tmp_path):
    import torch

    def with_generate():
        model = make_model()

        def generate(ids, attention_mask, pad_token_id, max_new_tokens, **options):
            assert not model.training
            return torch.cat([ids, torch.randint(2, 40, (1, max_new_tokens))], dim=1)

        model.generate = generate
        return model

    texts = []

    class Writer:
        def add_text(self, tag, text, step):
            texts.append((tag, step, text))

    def weights(callbacks, directory):
        args = TrainingArguments(
            output_dir=str(directory), max_steps=6, per_device_train_batch_size=4, eval_strategy="steps", eval_steps=3,
            save_strategy="no", seed=1,
        )  # fmt: skip
        trainer = Trainer(
            args,
            model=with_generate(),
            train_dataset=rows,
            eval_dataset=rows[:5],
            callbacks=callbacks,
            processing_class=Letters(),
        )
        trainer.train()
        return torch.cat([p.flatten() for p in trainer.model.parameters()]), torch.rand(3)

    plain, plain_draw = weights([], tmp_path / "a")
    sampled, sampled_draw = weights([TextgenCallback(["hi"], Writer(), max_new_tokens=5)], tmp_path / "b")
    assert torch.equal(plain, sampled)
    assert torch.equal(plain_draw, sampled_draw)
    assert [(tag, step) for tag, step, _ in texts] == [("eval-text", 3), ("eval-text", 6)]
    assert texts[0][2].startswith("hi [START] ")
    assert len(texts[0][2]) == len("hi [START] ") + 5


def test_prompts_are_a_list_of_texts_or_a_file_with_one(tmp_path):
    path = tmp_path / "prompts.yaml"
    path.write_text("- once\n- twice\n")
    assert TextgenCallback(str(path))._prompts == ["once", "twice"]
    with pytest.raises(ArgumentsError, match="no such file"):
        TextgenCallback(str(tmp_path / "none.yaml"))
    with pytest.raises(ArgumentsError, match="list of texts"):
        TextgenCallback([1])
