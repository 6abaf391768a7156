import math
from itertools import pairwise

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from fg_kernels.errors import HyperparameterError, OperandError
from fg_kernels.optim import Apollo
from fg_kernels.optim._projection import random_projection


def random(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def ones(channels, rank, number):
    return torch.ones(rank, channels.shape[0], dtype=torch.float64)


def train(optimizer, named, steps):
    for step in steps:
        for index, (_, parameter) in enumerate(named):
            parameter.grad = random(*parameter.shape, seed=100 * step + index).to(parameter.dtype)
        optimizer.step()


def loop(weight, gradients, projections, *, rank, mini, scale, lr, betas, eps, decay):
    """The paper's algorithm, written out channel by channel for a weight whose rows are the shorter side."""
    rows, columns = weight.shape
    first = [[0.0] * columns for _ in range(rank)]
    second = [[0.0] * columns for _ in range(rank)]
    weight, last = weight.tolist(), None
    for step, (gradient, projection) in enumerate(zip(gradients, projections, strict=True), start=1):
        g, p = gradient.tolist(), projection.tolist()
        projected = [[sum(p[k][i] * g[i][j] for i in range(rows)) for j in range(columns)] for k in range(rank)]
        adapted = [[0.0] * columns for _ in range(rank)]
        for k in range(rank):
            for j in range(columns):
                first[k][j] += (1 - betas[0]) * (projected[k][j] - first[k][j])
                second[k][j] += (1 - betas[1]) * (projected[k][j] ** 2 - second[k][j])
                adapted[k][j] = first[k][j] / (math.sqrt(second[k][j]) + eps)

        def length(matrix, chosen):
            return math.sqrt(sum(row[j] ** 2 for row in matrix for j in chosen))

        groups = [range(columns)] * columns if mini else [[j] for j in range(columns)]
        factors = [length(adapted, chosen) / length(projected, chosen) for chosen in groups]
        change = [[g[i][j] * factors[j] for j in range(columns)] for i in range(rows)]
        size = length(change, range(columns))
        if last is not None and size > 1.01 * last:
            change = [[x * 1.01 * last / size for x in row] for row in change]
            size = 1.01 * last
        last = size
        rate = lr * math.sqrt(1 - betas[1] ** step) / (1 - betas[0] ** step)
        for i in range(rows):
            for j in range(columns):
                weight[i][j] -= lr * decay * weight[i][j] + rate * math.sqrt(scale) * change[i][j]
    return torch.tensor(weight, dtype=torch.float64)


@pytest.mark.parametrize("wide", [True, False])
@pytest.mark.parametrize("mini", [True, False])
def test_the_papers_algorithm(wide, mini):
    """Growing gradients, so that the limiter acts; three updates of each projection."""
    rank, steps = (1, 7) if mini else (2, 7)
    value = random(3, 5, seed=9)
    gradients = [random(3, 5, seed=step) * (1 + 0.3 * step) for step in range(steps)]
    keys = [{"seed": 4, "name": "w", "number": step // 3, "device": "cpu"} for step in range(steps)]
    projections = [random_projection(rank, 3, **key).double() for key in keys]
    parameter = torch.nn.Parameter((value if wide else value.t()).clone())
    options = {"lr": 0.02, "betas": (0.8, 0.95), "eps": 1e-6}
    optimizer = Apollo(
        [("w", parameter)], **options, weight_decay=0.1, rank=rank, scale=4.0, update_steps=3, mini=mini, seed=4
    )
    for gradient in gradients:
        parameter.grad = gradient if wide else gradient.t()
        optimizer.step()
    expected = loop(value, gradients, projections, rank=rank, mini=mini, scale=4.0, decay=0.1, **options)
    torch.testing.assert_close(parameter.detach(), expected if wide else expected.t(), rtol=1e-6, atol=1e-7)


def test_the_first_update_worked_by_hand():
    """The projection (1, 1) of [[3, 1], [1, -2]] is (4, -1); Adam makes it signs, so columns shrink to 1/4 and 1."""
    weight = torch.nn.Parameter(torch.zeros(2, 2, dtype=torch.float64))
    weight.grad = torch.tensor([[3.0, 1.0], [1.0, -2.0]], dtype=torch.float64).t().contiguous()
    Apollo([weight], lr=0.1, eps=0.0, projector_factory=ones).step()
    expected = torch.tensor([[3 / 4, 1.0], [1 / 4, -2.0]], dtype=torch.float64).t() * -0.1
    torch.testing.assert_close(weight.detach(), expected, rtol=1e-6, atol=0)


def test_channels_of_one_element_are_scaled_exactly_as_adam_scales_them():
    """A matrix of one row, projected by 1; gradients of one sign that shrink, so that the limiter stays out of it."""
    ours, theirs = (torch.nn.Parameter(random(1, 6, seed=3)) for _ in range(2))
    optimizer = Apollo([("w", ours)], lr=0.01, eps=0.0, projector_factory=ones)
    other = torch.optim.Adam([theirs], lr=0.01, eps=0.0)
    for step in range(4):
        ours.grad = (random(1, 6, seed=step).abs() + 1) * 0.1**step
        theirs.grad = ours.grad.clone()
        optimizer.step(), other.step()
    torch.testing.assert_close(ours.detach(), theirs.detach(), rtol=1e-6, atol=1e-7)


def test_vectors_and_scalars_are_adams():
    ours = [("a", torch.nn.Parameter(random(5))), ("b", torch.nn.Parameter(random()))]
    theirs = [(name, torch.nn.Parameter(p.detach().clone())) for name, p in ours]
    train(Apollo(ours, lr=0.01, eps=0.0, weight_decay=0.1), ours, range(6))
    train(torch.optim.AdamW(theirs, lr=0.01, eps=0.0, weight_decay=0.1), theirs, range(6))
    for (_, a), (_, b) in zip(ours, theirs, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-12)


@settings(deadline=None, max_examples=20)
@given(seed=st.integers(0, 1000), factor=st.floats(0.1, 100.0))
def test_steps_of_a_matrix_grow_by_at_most_one_percent(seed, factor):
    weight = torch.nn.Parameter(random(4, 6))
    optimizer = Apollo([weight], rank=2, seed=seed)
    lengths = []
    for step in range(6):
        weight.grad = random(4, 6, seed=seed + step) * factor**step
        optimizer.step()
        lengths.append(optimizer.state[weight]["step_length"].item())
    assert all(b <= 1.01 * a * (1 + 1e-9) for a, b in pairwise(lengths))


def test_an_update_of_length_zero_does_not_choke_the_next():
    weight = torch.nn.Parameter(torch.zeros(3, 4))
    optimizer = Apollo([weight], lr=0.1)
    weight.grad = torch.zeros(3, 4)
    optimizer.step()
    assert (weight == 0).all()
    weight.grad = torch.ones(3, 4)
    optimizer.step()
    assert weight.detach().norm() > 0.1


@pytest.mark.parametrize("front", [True, False])
def test_scale_acts_by_its_root(front):
    plain, scaled = (torch.nn.Parameter(torch.zeros(4, 6).double()) for _ in range(2))
    train(Apollo([("w", plain)]), [("w", plain)], range(3))
    train(Apollo([("w", scaled)], scale=9.0, scale_front=front), [("w", scaled)], range(3))
    torch.testing.assert_close(scaled.detach(), 3 * plain.detach(), rtol=1e-6, atol=1e-9)


def test_projections_are_kept_for_some_updates_and_saved():
    named = [("w", torch.nn.Parameter(random(4, 6)))]
    optimizer = Apollo(named, rank=2, update_steps=3)
    seen = []
    for step in range(7):
        train(optimizer, named, range(step, step + 1))
        seen.append(optimizer.state_dict()["state"][0]["projector"].clone())
    assert all(torch.equal(seen[step], seen[step // 3 * 3]) for step in range(7))
    assert not torch.equal(seen[0], seen[3]) and not torch.equal(seen[3], seen[6])
    assert not any(callable(value) for value in optimizer.state_dict()["param_groups"][0].values())


def test_a_factory_gets_the_gradient_and_the_number_of_the_projection():
    calls = []

    def leading_directions(channels, rank, number):
        calls.append((tuple(channels.shape), rank, number))
        return torch.linalg.svd(channels, full_matrices=False).U[:, :rank].t()

    named = [("w", torch.nn.Parameter(random(6, 4)))]
    train(Apollo(named, rank=2, update_steps=2, projector_factory=leading_directions), named, range(5))
    assert calls == [((4, 6), 2, 0), ((4, 6), 2, 1), ((4, 6), 2, 2)]


def test_the_factory_is_not_saved_but_its_projections_are():
    def build(named, made):
        return Apollo(named, update_steps=4, projector_factory=lambda *_: made)

    straight, stopped = ([("w", torch.nn.Parameter(random(3, 4)))] for _ in range(2))
    train(build(straight, torch.ones(1, 3)), straight, range(4))
    first = build(stopped, torch.ones(1, 3))
    train(first, stopped, range(2))
    second = build(stopped, torch.zeros(1, 3))
    second.load_state_dict(first.state_dict())
    train(second, stopped, range(2, 4))
    assert torch.equal(straight[0][1], stopped[0][1])


def test_a_projection_of_another_shape_is_refused():
    weight = torch.nn.Parameter(torch.ones(3, 4))
    optimizer = Apollo([("w", weight)], projector_factory=lambda *_: torch.ones(2, 2))
    weight.grad = torch.ones(3, 4)
    with pytest.raises(OperandError, match=r"made \(2, 2\) for 'w'; it must be \(rank, dim\) = \(1, 3\)"):
        optimizer.step()
    assert (weight == 1).all()


def test_random_projections_keep_lengths_and_depend_on_every_argument():
    key = {"seed": 1, "name": "w", "number": 0, "device": "cpu"}
    drawn = random_projection(256, 64, **key)
    assert torch.equal(drawn, random_projection(256, 64, **key))
    assert abs((drawn * 16).mean().item()) < 4 / math.sqrt(256 * 64)
    assert abs((drawn * 16).square().mean().item() - 1) < 4 * math.sqrt(2 / (256 * 64))
    vector = torch.randn(64, generator=torch.Generator().manual_seed(0))
    assert abs((drawn @ vector).norm() / vector.norm() - 1) < 0.2
    for other in ({"seed": 2}, {"name": "v"}, {"number": 1}):
        assert not torch.equal(drawn, random_projection(256, 64, **(key | other)))
    counted = random_projection(256, 64, **(key | {"number": torch.tensor(0)}))
    assert torch.equal(drawn, counted)


def test_the_normal_numbers_are_normal():
    drawn = random_projection(1, 40_000, seed=0, name="w", number=0, device="cpu").double().flatten().sort().values
    uniform = torch.special.ndtr(drawn)
    expected = (torch.arange(40_000).double() + 0.5) / 40_000
    assert (uniform - expected).abs().max() < 1.63 / math.sqrt(40_000)  # Kolmogorov-Smirnov, 1 %


def test_the_state_is_small():
    weight = torch.nn.Parameter(torch.ones(64, 128))
    optimizer = Apollo([weight], rank=1)
    weight.grad = torch.ones(64, 128)
    optimizer.step()
    kept = sum(value.numel() for value in optimizer.state[weight].values() if isinstance(value, torch.Tensor))
    assert kept == 2 * 128 + 64 + 1


def test_rank_is_at_most_the_shorter_side():
    named = [("w", torch.nn.Parameter(random(3, 8)))]
    optimizer = Apollo(named, rank=100)
    train(optimizer, named, range(1))
    assert optimizer.state[named[0][1]]["projector"].shape == (3, 3)


def test_empty_matrices_and_tensors_of_more_dimensions():
    cube, matrix = ([("w", torch.nn.Parameter(random(24).view(shape)))] for shape in ((2, 3, 4), (6, 4)))
    train(Apollo(cube), cube, range(3))
    train(Apollo(matrix), matrix, range(3))
    assert torch.equal(cube[0][1].view(6, 4), matrix[0][1])
    empty = [("w", torch.nn.Parameter(torch.ones(0, 4)))]
    train(Apollo(empty), empty, range(2))
    assert empty[0][1].shape == (0, 4)


def test_capturable_with_a_rate_on_the_device_gives_the_same():
    plain, counted = ([("m", torch.nn.Parameter(random(4, 6))), ("v", torch.nn.Parameter(random(5)))] for _ in range(2))
    train(Apollo(plain, lr=0.01, rank=2, update_steps=2), plain, range(5))
    rate = torch.tensor(0.01, dtype=torch.float64)
    optimizer = Apollo(counted, lr=rate, rank=2, update_steps=2, capturable=True)
    train(optimizer, counted, range(5))
    for (_, a), (_, b) in zip(plain, counted, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-12)


def test_the_direction_points_down_and_learns():
    """A least squares problem: the loss falls by more than nine tenths."""
    target, weight = random(8, 12), torch.nn.Parameter(torch.zeros(8, 12).double())
    optimizer = Apollo([weight], lr=0.05, rank=2)
    before = (weight - target).square().sum().item()
    for _ in range(150):
        optimizer.zero_grad()
        (weight - target).square().sum().backward()
        optimizer.step()
    assert (weight - target).square().sum().item() < 0.1 * before


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"rank": 0}, "rank=0"),
        ({"update_steps": 0}, "update_steps=0"),
        ({"scale": -1.0}, r"scale=-1\.0"),
        ({"betas": (1.0, 0.9)}, r"betas\[0\]=1\.0"),
        ({"capturable": True, "projector_factory": lambda *_: torch.ones(1)}, "cannot be used with capturable"),
    ],
)
def test_arguments_out_of_range_are_refused(options, message):
    with pytest.raises(HyperparameterError, match=message):
        Apollo([torch.nn.Parameter(torch.ones(2))], **options)
