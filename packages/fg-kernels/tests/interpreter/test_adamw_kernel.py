"""The kernel has the bits of the plain rule: both are the same single fp32 operations in the same order."""

import copy

import pytest
import torch
import torch.distributed as dist
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.tensor import Shard, distribute_tensor

from fg_kernels.errors import BackendError
from fg_kernels.optim import SGD, Adafactor, AdamW
from fg_kernels.optim._base import Slot
from fg_kernels.triton.adamw import adamw_
from fg_kernels.triton.launch import config_for
from fg_kernels.triton.parameters import Lookup
from fg_kernels.window import Window

SHAPES = ((50, 100), (33, 17), (8,), (1,), (0,), (3, 5, 7))
STATES = (torch.float32, torch.bfloat16, torch.uint8)


def parameters(dtype: torch.dtype) -> list[tuple[str, torch.nn.Parameter]]:
    generator = torch.Generator().manual_seed(0)
    return [
        (f"layers.{i}.weight", torch.nn.Parameter(torch.randn(shape, generator=generator).to(dtype)))
        for i, shape in enumerate(SHAPES)
    ]


def give_gradients(named, step: int, dtype: torch.dtype | None = None) -> None:
    generator = torch.Generator().manual_seed(1000 + step)
    for _, parameter in named:
        parameter.grad_dtype = dtype or parameter.dtype
        parameter.grad = torch.randn(parameter.shape, generator=generator).to(dtype or parameter.dtype)


def train(optimizer, named, *, steps: int = 3, gradient: torch.dtype | None = None):
    for step in range(steps):
        give_gradients(named, step, gradient)
        optimizer.step()
    return optimizer


def assert_same_bits(ours, theirs, kernel, plain) -> None:
    for (name, a), (_, b) in zip(ours, theirs, strict=True):
        assert torch.equal(a, b), name
        for key, value in kernel.state[a].items():
            if isinstance(value, torch.Tensor):
                assert value.dtype == plain.state[b][key].dtype
                assert torch.equal(value, plain.state[b][key]), (name, key)


@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize(
    ("dtype", "gradient"),
    [(torch.bfloat16, torch.bfloat16), (torch.bfloat16, torch.float32), (torch.float32, torch.float32)],
)
@pytest.mark.parametrize("rounding", ["stochastic", "nearest"])
def test_parameters_and_state_have_the_bits_of_the_plain_rule(state, dtype, gradient, rounding):
    ours, theirs = parameters(dtype), parameters(dtype)
    options = {"lr": 1e-2, "weight_decay": 0.1, "seed": -7, "state_dtype": state, "rounding": rounding}
    kernel = train(AdamW(ours, **options), ours, gradient=gradient)
    plain = train(AdamW(theirs, fused=False, **options), theirs, gradient=gradient)
    assert kernel._tables and not plain._tables
    assert_same_bits(ours, theirs, kernel, plain)


def test_all_parameters_of_one_kind_are_one_launch():
    ours = [(name, p) for name, p in parameters(torch.bfloat16) if p.numel() % 16 == 0]
    assert len(train(AdamW(ours), ours)._tables) == 1


def test_one_parameter_at_a_time_has_the_same_bits():
    ours, others = parameters(torch.bfloat16), parameters(torch.bfloat16)
    whole = train(AdamW(ours, state_dtype=torch.bfloat16), ours)
    single = AdamW(others, state_dtype=torch.bfloat16)
    for step in range(3):
        give_gradients(others, step)
        for _, parameter in reversed(others):
            single.step_param(parameter)
    assert_same_bits(ours, others, whole, single)


def test_groups_have_their_own_numbers():
    ours, theirs = parameters(torch.bfloat16), parameters(torch.bfloat16)

    def groups(named):
        return [{"params": named[:2], "lr": 0.1, "weight_decay": 0.0}, {"params": named[2:], "betas": (0.5, 0.6)}]

    kernel = train(AdamW(groups(ours)), ours)
    plain = train(AdamW(groups(theirs), fused=False), theirs)
    assert_same_bits(ours, theirs, kernel, plain)


def test_counted_on_the_device_with_a_rate_on_the_device():
    ours, theirs = parameters(torch.bfloat16), parameters(torch.bfloat16)
    kernel = train(AdamW(ours, lr=torch.tensor(1e-2), capturable=True), ours)
    plain = train(AdamW(theirs, lr=torch.tensor(1e-2), capturable=True, fused=False), theirs)
    assert kernel._tables and isinstance(kernel.state[ours[0][1]]["step"], torch.Tensor)
    assert_same_bits(ours, theirs, kernel, plain)


def test_copies_and_resumed_optimizers_go_on_with_the_same_bits():
    ours = parameters(torch.bfloat16)
    optimizer = train(AdamW(ours, state_dtype="8bit"), ours)
    copied = copy.deepcopy(optimizer)
    twins = [(name, p) for (name, _), p in zip(ours, copied.param_groups[0]["params"], strict=True)]
    others = [(name, torch.nn.Parameter(p.detach().clone())) for name, p in ours]
    resumed = AdamW(others, state_dtype="8bit")
    resumed.load_state_dict(optimizer.state_dict())
    for named, kind in ((ours, optimizer), (twins, copied), (others, resumed)):
        give_gradients(named, 9)
        kind.step()
    assert_same_bits(ours, twins, optimizer, copied)
    assert_same_bits(ours, others, optimizer, resumed)


def test_strided_parameters_and_gradients_go_the_plain_way():
    def transposed():
        return [
            ("w", torch.nn.Parameter(torch.randn(8, 16, generator=torch.Generator().manual_seed(0)).bfloat16().t()))
        ]

    ours, theirs = transposed(), transposed()
    kernel, plain = train(AdamW(ours), ours), train(AdamW(theirs, fused=False), theirs)
    assert not kernel._tables
    assert_same_bits(ours, theirs, kernel, plain)


def test_a_gradient_that_is_not_a_number_makes_the_weight_none():
    ours = parameters(torch.bfloat16)
    optimizer = AdamW(ours)
    give_gradients(ours, 0)
    ours[0][1].grad[3, 4] = float("nan")
    optimizer.step()
    assert ours[0][1].isnan().sum() == 1 and ours[0][1][3, 4].isnan()
    assert not ours[1][1].isnan().any()


@pytest.fixture
def mesh():
    dist.init_process_group("gloo", store=dist.HashStore(), rank=0, world_size=1)
    yield init_device_mesh("cpu", (1,))
    dist.destroy_process_group()


@pytest.mark.parametrize("dimension", [0, 1])
def test_shards_go_through_the_kernel_with_the_bits_of_whole_parameters(dimension, mesh):
    plain = [(name, p) for name, p in parameters(torch.bfloat16) if p.ndim == 2]

    def shard(values: torch.Tensor) -> torch.Tensor:
        return distribute_tensor(values.detach().clone(), mesh, [Shard(dimension)])

    sharded = [(name, torch.nn.Parameter(shard(p))) for name, p in plain]
    give_gradients(plain, 0)
    for (_, s), (_, p) in zip(sharded, plain, strict=True):
        s.grad = shard(p.grad)
    optimizer = AdamW(sharded, state_dtype=torch.bfloat16)
    AdamW(plain, state_dtype=torch.bfloat16).step(), optimizer.step()
    assert optimizer._tables
    for (_, s), (_, p) in zip(sharded, plain, strict=True):
        assert torch.equal(s.detach().full_tensor(), p.detach())


def test_a_shard_in_the_middle_draws_the_noise_of_its_place():
    whole, (upper, lower) = parameters(torch.bfloat16)[0][1].detach(), (slice(0, 20), slice(20, 50))
    pieces = [torch.nn.Parameter(whole[rows].clone()) for rows in (upper, lower)]
    optimizers = [AdamW([("w", piece)], state_dtype=torch.bfloat16) for piece in (torch.nn.Parameter(whole), *pieces)]
    optimizers[2]._slots[pieces[1]] = Slot(0, "w", Window(20 * 100))
    gradient = torch.randn(50, 100, generator=torch.Generator().manual_seed(1)).bfloat16()
    for optimizer, rows in zip(optimizers, (slice(0, 50), upper, lower), strict=True):
        weight = optimizer.param_groups[0]["params"][0]
        weight.grad = gradient[rows].clone()
        optimizer.step()
        assert optimizer._tables
    assert torch.equal(optimizers[0].param_groups[0]["params"][0].detach(), torch.cat([p.detach() for p in pieces]))


@pytest.mark.parametrize(
    ("kind", "key"), [(AdamW, "exp_avg_sq"), (SGD, "momentum_buffer"), (Adafactor, "exp_avg_sq_row")]
)
@pytest.mark.parametrize("change", [lambda t: t.double(), lambda t: t[:5].clone()])
def test_state_of_another_dtype_or_shape_never_meets_a_kernel(kind, key, change):
    named = [("w", torch.nn.Parameter(torch.ones(32, 16, dtype=torch.bfloat16)))]
    optimizer = kind(named, **({"momentum": 0.9} if kind is SGD else {}))
    train(optimizer, named, steps=1)
    optimizer.state[named[0][1]][key] = change(optimizer.state[named[0][1]][key])
    optimizer.fused = True
    with pytest.raises(BackendError, match=r"'w' cannot be updated by kernels: its .* of shape"):
        optimizer.step()


def test_the_last_blocks_of_more_than_two_to_the_31_elements():
    start, parameter = 2**31, torch.ones(256, dtype=torch.bfloat16)
    gradient = torch.ones_like(parameter)
    codes = [torch.full((256,), zero, dtype=torch.uint8) for zero in (127, 0)]
    scales = [torch.full((16,), -1.0), torch.full((16,), -1.0)]
    # Addresses of a tensor that begins so far before these that they are its end.
    places = [t.data_ptr() - start * t.itemsize for t in (parameter, gradient, *codes)]
    places += [scale.data_ptr() - start // 256 * scale.itemsize for scale in scales]
    config = config_for("adamw", parameter)
    lookup = Lookup(
        tiles=torch.tensor([[0, start // config.blocks["BLOCK"]]], dtype=torch.int32),
        table=torch.tensor([[start + 256, 0, 0, *range(6), *places]]),
        steps=torch.ones(1, dtype=torch.int64),
        numbers=torch.tensor([[0.9, 0.1, 0.99, 0.01, 1e-8, 10.0, 1.0, 0.5]]),
    )
    adamw_(lookup, {"P16": True, "G16": True, "STATE": 8, "STOCHASTIC": False, "EVEN": True}, config)
    # The scale -1 of codes that stand for zero is none: both moments begin at zero.
    assert [scale[0].item() for scale in scales] == pytest.approx([0.1, 0.01])
    assert all(scale[1:].eq(-1.0).all() for scale in scales)
    assert torch.allclose(parameter.float(), torch.tensor(1 - 0.5 * 0.1 / (0.1 * 10)), atol=4e-3)


@pytest.mark.parametrize(("kind", "options"), [(AdamW, {}), (SGD, {"momentum": 0.9, "weight_decay": 0.1})])
def test_single_numbers_counted_on_the_device(kind, options):
    values = torch.randn(20, generator=torch.Generator().manual_seed(0))
    ours, theirs = ([(str(i), torch.nn.Parameter(value.clone())) for i, value in enumerate(values)] for _ in range(2))
    kernel, plain = (
        kind(named, lr=torch.tensor(1e-2), capturable=True, fused=fused, **options)
        for named, fused in ((ours, "auto"), (theirs, False))
    )
    assert_same_bits(ours, theirs, train(kernel, ours), train(plain, theirs))
