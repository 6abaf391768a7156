"""Learning rates at the points that define each schedule."""

from __future__ import annotations

import math

import pytest
import torch

from fg_trainers.errors import ArgumentsError
from fg_trainers.schedules import SCHEDULES, CosineLRScheduler, WSDScheduler


def optimizer(*rates: float) -> torch.optim.Optimizer:
    return torch.optim.SGD([{"params": [torch.nn.Parameter(torch.zeros(1))], "lr": rate} for rate in rates])


def rates(scheduler, steps: int) -> list[list[float]]:
    seen = []
    for _ in range(steps):
        seen.append(scheduler.get_last_lr())
        scheduler.optimizer.step()
        scheduler.step()
    return seen


def test_wsd_warms_up_stays_and_decays_harmonically():
    scheduler = WSDScheduler(optimizer(1.0, 0.5), warmup_steps=4, min_lr=0.1, decay_steps=10, decay_start_step=10)
    seen = [first for first, _ in rates(scheduler, 25)]
    assert seen[:5] == pytest.approx([0.25, 0.5, 0.75, 1.0, 1.0])
    assert seen[4:10] == pytest.approx([1.0] * 6)
    assert seen[15] == pytest.approx(1 / (0.5 / 1.0 + 0.5 / 0.1))
    assert seen[20:] == pytest.approx([0.1] * 5)


def test_wsd_scales_each_group_from_its_own_base():
    scheduler = WSDScheduler(optimizer(1.0, 0.5), warmup_steps=2)
    assert scheduler.get_last_lr() == pytest.approx([0.5, 0.25])


def test_wsd_starts_its_decay_where_a_resumed_run_stands():
    first = WSDScheduler(optimizer(1.0))
    rates(first, 7)
    resumed = WSDScheduler(optimizer(1.0), min_lr=0.5, decay_steps=2, start_decay=True)
    resumed.load_state_dict(first.state_dict())
    assert [rate for (rate,) in rates(resumed, 4)] == pytest.approx([1.0, 1 / 1.5, 0.5, 0.5])


def test_wsd_goes_on_with_a_decay_already_begun():
    first = WSDScheduler(optimizer(1.0), min_lr=0.5, decay_steps=4, decay_start_step=3)
    expected = [rate for (rate,) in rates(first, 12)]
    first = WSDScheduler(optimizer(1.0), min_lr=0.5, decay_steps=4, decay_start_step=3)
    rates(first, 5)
    resumed = WSDScheduler(optimizer(1.0), min_lr=0.5, decay_steps=4, start_decay=True)
    resumed.load_state_dict(first.state_dict())
    assert [rate for (rate,) in rates(resumed, 7)] == pytest.approx(expected[5:])


@pytest.mark.parametrize("name", SCHEDULES)
def test_every_built_in_schedule_resumes_where_it_stopped(name):
    whole = SCHEDULES[name](optimizer(1.0), 20, 3)
    expected = rates(whole, 20)
    first = SCHEDULES[name](optimizer(1.0), 20, 3)
    rates(first, 11)
    resumed = SCHEDULES[name](optimizer(1.0), 20, 3)
    resumed.load_state_dict(first.state_dict())
    assert resumed.get_last_lr() == pytest.approx(expected[11])
    longer = SCHEDULES[name](optimizer(1.0), 40, 3)
    longer.load_state_dict(first.state_dict())
    whole_longer = rates(SCHEDULES[name](optimizer(1.0), 40, 3), 12)
    assert [group["lr"] for group in longer.optimizer.param_groups] == pytest.approx(whole_longer[11])
    assert expected[0] == pytest.approx([1 / 3])


def test_cosine_reaches_its_floor():
    scheduler = CosineLRScheduler(optimizer(2.0), total_steps=10, min_lr=0.2)
    seen = [rate for (rate,) in rates(scheduler, 12)]
    assert seen[0] == 2.0
    assert seen[5] == pytest.approx(0.2 + 1.8 * 0.5 * (1 + math.cos(math.pi / 2)))
    assert seen[10:] == pytest.approx([0.2, 0.2])


def test_impossible_schedules_are_refused():
    with pytest.raises(ArgumentsError, match="warmup_steps < total_steps"):
        CosineLRScheduler(optimizer(1.0), total_steps=5, warmup_steps=5)
    with pytest.raises(ArgumentsError, match="min_lr > 0"):
        WSDScheduler(optimizer(1.0), min_lr=0.0)
