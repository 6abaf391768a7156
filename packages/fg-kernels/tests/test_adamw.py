"""AdamW's three kinds of state, and its arithmetic; what all optimizers share is in test_optimizers.py."""

import copy
import pickle

import pytest
import torch
import torch.distributed as dist
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.tensor import Shard, distribute_tensor

from fg_kernels.errors import BackendError, HyperparameterError, OperandError, UnknownOptionError
from fg_kernels.optim import SGD, Adafactor, AdamW

SHAPES = ((64, 80), (40, 24), (17,))


def parameters(dtype=torch.float32, shapes=SHAPES) -> list[tuple[str, torch.nn.Parameter]]:
    generator = torch.Generator().manual_seed(0)
    values = [torch.randn(shape, generator=generator, dtype=torch.float64).to(dtype) for shape in shapes]
    return [(f"layers.{i}.weight", torch.nn.Parameter(value)) for i, value in enumerate(values)]


def give_gradients(named, step: int) -> None:
    generator = torch.Generator().manual_seed(1000 + step)
    for _, parameter in named:
        gradient = torch.randn(parameter.shape, generator=generator, dtype=torch.float64)
        parameter.grad = gradient.to(parameter.dtype)


def train(optimizer, named, steps: range):
    for step in steps:
        give_gradients(named, step)
        optimizer.step()
    return optimizer


def equal_bits(named, others) -> bool:
    return all(torch.equal(a, b) for (_, a), (_, b) in zip(named, others, strict=True))


def test_8_bit_moments_take_about_two_bytes_and_small_tensors_stay_fp32():
    named = parameters(torch.bfloat16)
    optimizer = train(AdamW(named, state_dtype="8bit"), named, range(2))
    large, small, _ = (optimizer.state[p] for _, p in named)
    assert {key: (value.dtype, value.numel()) for key, value in large.items() if key != "step"} == {
        "exp_avg": (torch.uint8, 5120),
        "exp_avg_sq": (torch.uint8, 5120),
        "exp_avg_scale": (torch.float32, 20),
        "exp_avg_sq_scale": (torch.float32, 20),
    }
    assert set(small) == {"step", "exp_avg", "exp_avg_sq"} and small["exp_avg"].dtype == torch.float32


def test_8_bit_moments_follow_fp32_moments():
    fine, coarse = parameters(), parameters()
    train(AdamW(fine, lr=1e-2), fine, range(50))
    train(AdamW(coarse, lr=1e-2, state_dtype="8bit"), coarse, range(50))
    change = fine[0][1] - parameters()[0][1]
    assert 0 < (fine[0][1] - coarse[0][1]).norm() < 0.05 * change.norm()
    assert equal_bits(fine[1:], coarse[1:])


def test_8_bit_training_is_as_close_to_fp32_as_torchaos():
    """The first update is the same; then roundings differ a little: their codes of second moments may become zero."""
    torchao = pytest.importorskip("torchao.optim")
    ours, theirs, exact = (parameters(shapes=SHAPES[:1]) for _ in range(3))
    options = {"lr": 1e-2, "eps": 1e-8, "weight_decay": 0.1}
    first, second = AdamW(ours, state_dtype="8bit", **options), torchao.AdamW8bit([p for _, p in theirs], **options)
    reference = torch.optim.AdamW([p for _, p in exact], **options)
    errors = []
    for step in range(20):
        for named, optimizer in ((ours, first), (theirs, second), (exact, reference)):
            give_gradients(named, step)
            optimizer.step()
        errors.append([(named[0][1] - exact[0][1]).norm().item() for named in (ours, theirs)])
    assert errors[0][0] < 1e-4 and errors[0][1] < 1e-4
    assert errors[-1][0] <= 1.1 * errors[-1][1]


@pytest.mark.parametrize("state", ["float32", "bfloat16", "8bit"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_resumed_run_has_the_same_bits(state, dtype):
    straight, stopped = parameters(dtype), parameters(dtype)
    train(AdamW(straight, state_dtype=state), straight, range(6))
    saved = train(AdamW(stopped, state_dtype=state), stopped, range(3)).state_dict()
    resumed = AdamW(stopped)  # the kind of state is that of the saved one
    resumed.load_state_dict(copy.deepcopy(saved))
    train(resumed, stopped, range(3, 6))
    assert equal_bits(straight, stopped)


@pytest.mark.parametrize(("saved", "now"), [("8bit", "float32"), ("float32", "8bit"), ("bfloat16", "8bit")])
def test_moments_of_a_checkpoint_keep_their_dtype_and_the_run_its_bits(saved, now):
    straight, resumed = parameters(torch.bfloat16), parameters(torch.bfloat16)
    train(AdamW(straight, state_dtype=saved), straight, range(4))
    state = train(AdamW(resumed, state_dtype=saved), resumed, range(2)).state_dict()
    optimizer = AdamW(resumed, state_dtype=now)
    optimizer.load_state_dict(state)
    train(optimizer, resumed, range(2, 4))
    assert equal_bits(straight, resumed)


@pytest.mark.parametrize("state", ["float32", "8bit"])
def test_fp64_parameters_keep_fp64_moments(state):
    named = parameters(torch.float64)
    optimizer = train(AdamW(named, state_dtype=state), named, range(1))
    assert {optimizer.state[p][key].dtype for _, p in named for key in ("exp_avg", "exp_avg_sq")} == {torch.float64}


def test_8_bit_moments_of_shards_are_refused():
    dist.init_process_group("gloo", store=dist.HashStore(), rank=0, world_size=1)
    try:
        sharded = distribute_tensor(torch.zeros(64, 80), init_device_mesh("cpu", (1,)), [Shard(0)])
        with pytest.raises(OperandError, match="'w' is sharded: 8-bit moments are for whole tensors"):
            AdamW([("w", torch.nn.Parameter(sharded))], state_dtype="8bit")
    finally:
        dist.destroy_process_group()


def test_kinds_of_state_that_do_not_exist():
    with pytest.raises(UnknownOptionError, match="valid: '8bit', 'bfloat16', 'float32'"):
        AdamW(parameters(), state_dtype="int8")
    with pytest.raises(OperandError, match=r"state_dtype=torch\.float16; valid: torch\.float32"):
        AdamW(parameters(), state_dtype=torch.float16)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("state", ["float32", "bfloat16", "8bit"])
def test_counting_on_the_device_changes_nothing(dtype, state):
    ours, theirs = parameters(dtype), parameters(dtype)
    rate = torch.tensor(1e-2, dtype=torch.float64)
    counted = train(AdamW(ours, lr=rate, capturable=True, state_dtype=state), ours, range(5))
    train(AdamW(theirs, lr=1e-2, state_dtype=state), theirs, range(5))
    assert counted.state[ours[0][1]]["step"].equal(torch.tensor(5)) and equal_bits(ours, theirs)


@pytest.mark.parametrize("kind", [AdamW, SGD])
@pytest.mark.parametrize(("before", "after"), [(True, True), (True, False), (False, True)])
def test_saved_counts_suit_both_ways_of_counting(kind, before, after):
    straight, stopped = parameters(torch.bfloat16), parameters(torch.bfloat16)
    train(kind(straight), straight, range(4))
    saved = train(kind(stopped, capturable=before), stopped, range(2)).state_dict()
    resumed = kind(stopped, capturable=after)
    resumed.load_state_dict(saved)
    train(resumed, stopped, range(2, 4))
    assert equal_bits(straight, stopped)
    assert isinstance(resumed.state[stopped[0][1]]["step"], torch.Tensor if after else int)


@pytest.mark.parametrize("kind", [AdamW, SGD])
def test_a_schedule_fills_a_rate_that_is_a_tensor(kind):
    ours, theirs = parameters(), parameters()
    rate = torch.tensor(0.25)
    optimizers = kind(ours, lr=rate, capturable=True), kind(theirs, lr=0.25)
    schedules = [torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 0.5**step) for optimizer in optimizers]
    for step in range(3):
        for optimizer, named, schedule in zip(optimizers, (ours, theirs), schedules, strict=True):
            train(optimizer, named, range(step, step + 1))
            schedule.step()
    assert optimizers[0].param_groups[0]["lr"] is rate and rate.item() == 0.25 / 8
    assert equal_bits(ours, theirs)


@pytest.mark.parametrize("kind", [AdamW, SGD])
@pytest.mark.parametrize("capturable", [True, False])
def test_copies_and_pickles_go_on_with_the_same_bits(kind, capturable):
    named = parameters(torch.bfloat16)
    optimizer = train(kind(named, seed=4, capturable=capturable), named, range(2))
    for other in (copy.deepcopy(optimizer), pickle.loads(pickle.dumps(optimizer))):  # noqa: S301
        theirs = [(name, p) for (name, _), p in zip(named, other.param_groups[0]["params"], strict=True)]
        ours = [(name, torch.nn.Parameter(p.detach().clone())) for name, p in named]
        straight = kind(ours, capturable=capturable)
        straight.load_state_dict(optimizer.state_dict())
        train(other, theirs, range(2, 4))
        train(straight, ours, range(2, 4))
        assert equal_bits(ours, theirs) and not equal_bits(named, theirs)


@pytest.mark.parametrize("rate", [torch.ones(2), torch.tensor(1)])
def test_a_rate_that_is_no_floating_point_number(rate):
    with pytest.raises(HyperparameterError, match="must be a 0-d floating point one"):
        AdamW(parameters(), lr=rate)


def test_a_rate_out_of_range_in_a_group():
    with pytest.raises(HyperparameterError, match=r"lr=-1\.0"):
        AdamW([{"params": parameters(), "lr": -1.0}])


@pytest.mark.parametrize("kind", [AdamW, SGD])
def test_insisting_on_a_kernel_that_cannot_be_used_writes_nothing(kind):
    named = parameters(torch.bfloat16)
    before = [(name, p.detach().clone()) for name, p in named]
    optimizer = kind(named, fused=True)
    give_gradients(named, 0)
    with pytest.raises(BackendError, match=f"{kind.kernel}: 'triton' cannot be used"):
        optimizer.step()
    assert equal_bits(named, before) and not any(optimizer.state.values())


@pytest.mark.parametrize("kind", [AdamW, SGD, Adafactor])
def test_insisting_on_a_kernel_for_operands_that_do_not_fit_it_says_which_and_writes_nothing(kind):
    named = parameters(torch.bfloat16)
    before = [(name, p.detach().clone()) for name, p in named]
    optimizer = kind(named[1:], fused=True)
    give_gradients(named, 0)
    named[1][1].grad = named[1][1].grad.t().contiguous().t()
    with pytest.raises(BackendError, match=r"'layers\.1\.weight' cannot be updated by kernels: .*not contiguous"):
        optimizer.step()
    assert equal_bits(named, before) and not any(optimizer.state.values())
