"""Parameters find their group by name."""

from __future__ import annotations

import logging

import pytest
import torch
from torch.nn import Linear, Sequential

from fg_trainers import make_grouped_optimizer, make_regex_optimizer_groups
from fg_trainers.errors import ArgumentsError

NO_DECAY = {"regex": "bias|norm", "config": {"weight_decay": 0.0}}


def model() -> Sequential:
    return Sequential(Linear(2, 3), Linear(3, 2))


def adamw(groups):
    return torch.optim.AdamW(groups, lr=0.1, weight_decay=0.5)


def grouped(groups, parameters=None, **options):
    optimizer = make_grouped_optimizer(
        parameters or model().named_parameters(), optimizer_factory=adamw, optimizer_groups=groups, **options
    )
    return [(group["weight_decay"], group["lr"], group["param_names"]) for group in optimizer.param_groups]


def test_a_group_has_its_settings_and_the_rest_those_of_the_optimizer():
    assert grouped({"no_decay": NO_DECAY}) == [
        (0.0, 0.1, ["0.bias", "1.bias"]),
        (0.5, 0.1, ["0.weight", "1.weight"]),
    ]


def test_the_first_pattern_that_is_found_decides_and_empty_groups_vanish():
    first = {"regex": "^0", "config": {"lr": 0.2}}
    groups = {"first": first, "no_decay": NO_DECAY, "norms": {"regex": "norm"}}
    assert grouped(groups) == [
        (0.5, 0.2, ["0.weight", "0.bias"]),
        (0.0, 0.1, ["1.bias"]),
        (0.5, 0.1, ["1.weight"]),
    ]


@pytest.mark.parametrize("groups", [None, {}, {"no_decay": None}])
def test_without_groups_there_is_one(groups):
    assert [names for _, _, names in grouped(groups)] == [["0.weight", "0.bias", "1.weight", "1.bias"]]


def test_frozen_parameters_are_left_out():
    frozen = model().requires_grad_(False)
    frozen[1].requires_grad_(True)
    assert grouped({"no_decay": NO_DECAY}, frozen.named_parameters()) == [
        (0.0, 0.1, ["1.bias"]),
        (0.5, 0.1, ["1.weight"]),
    ]


def test_debug_tells_where_each_parameter_went(caplog):
    with caplog.at_level(logging.INFO, logger="fg_trainers"):
        grouped({"no_decay": NO_DECAY}, debug=True)
    assert "no_decay: ['0.bias', '1.bias']" in caplog.messages


@pytest.mark.parametrize(
    ("group", "text"),
    [
        ({"regexp": "bias"}, "must have a 'regex'"),
        ({"regex": "bias", "lr": 1}, "may have a 'config'"),
        ({"regex": "("}, "is not a pattern"),
        ({"regex": 3}, "must have a 'regex'"),
    ],
)
def test_a_group_that_cannot_work_is_refused_by_name(group, text):
    with pytest.raises(ArgumentsError, match="'mine'") as caught:
        grouped({"mine": group})
    assert text in str(caught.value)


def by_hand(group_map, group_config):
    groups = make_regex_optimizer_groups(model().named_parameters(), group_map, group_config)
    return [(group.get("lr"), [name for name, _ in group["params"]]) for group in groups]


def test_groups_by_hand_have_their_settings_in_the_order_of_the_map():
    config = {"rest": {"lr": 0.2}, "biases": {"lr": 0.1}, "norms": {"lr": 0.3}}
    assert by_hand([("norm", "norms"), ("bias", "biases"), (".*", "rest")], config) == [
        (0.1, ["0.bias", "1.bias"]),
        (0.2, ["0.weight", "1.weight"]),
    ]


@pytest.mark.parametrize(
    ("group_map", "message"),
    [
        ([("bias", "biases")], r"no pattern of group_map matches \['0.weight', '1.weight'\]"),
        ([("bias", "bias")], r"names \['bias'\], but group_config has \['biases'\]"),
        ([("(", "biases")], r"'\(' is not a pattern"),
    ],
)
def test_maps_by_hand_that_do_not_fit_are_refused(group_map, message):
    with pytest.raises(ArgumentsError, match=message):
        by_hand(group_map, {"biases": {}})
