"""Settings are checked where they are given, by name."""

from __future__ import annotations

import dataclasses

import pytest

from fg_trainers.arguments import TrainingArguments
from fg_trainers.errors import ArgumentsError


def test_an_unknown_key_names_the_nearest_setting():
    with pytest.raises(ArgumentsError, match=r"unknown training argument 'max_stps' .*'max_steps'"):
        TrainingArguments.from_mapping({"max_stps": 3})


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("per_device_train_batch_size", 0),
        ("gradient_accumulation_steps", 0),
        ("max_steps", 0),
        ("num_train_epochs", -1),
        ("logging_steps", 0),
        ("save_total_limit", 0),
        ("max_grad_norm", -1.0),
        ("eval_strategy", "sometimes"),
        ("float32_matmul_precision", "lowest"),
        ("lr_scheduler_type", "cosin"),
        ("max_steps", "10"),
        ("learning_rate", "1e-3"),
        ("save_steps", 2.5),
        ("use_cpu", 1),
        ("output_dir", None),
        ("seed", -5),
        ("warmup_steps", -3),
        ("max_eval_steps", 0),
    ],
)
def test_an_impossible_value_is_refused_by_name(name, value):
    with pytest.raises(ArgumentsError, match=name):
        TrainingArguments(**{name: value})


def test_settings_survive_as_plain_data():
    args = TrainingArguments(output_dir="x", max_steps=7)
    assert TrainingArguments.from_mapping(args.to_json()) == args
    assert dataclasses.asdict(args)["max_steps"] == 7
