import copy
import subprocess
import sys
import threading
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.tensor import DTensor, Shard, distribute_tensor

from fg_kernels.errors import StateMismatchError
from fg_kernels.optim import Adafactor
from fg_kernels.triton.adafactor_plan import (
    ENOUGH_PROGRAMS,
    FEW_PROGRAMS,
    Blocks,
    Shape,
    blocks_for,
    shape_of,
    workspace_floats,
)
from fg_kernels.triton.config_table import rows_of

SHAPES = ((24, 40), (10, 6), (4, 6, 8), (17,))
RANKS = 2
CASES = [(dim, dtype) for dim in (0, 1) for dtype in (torch.float32, torch.bfloat16)]


def parameters(dtype=torch.float32, shapes=SHAPES):
    generator = torch.Generator().manual_seed(0)
    values = [torch.randn(shape, generator=generator).to(dtype) for shape in shapes]
    return [(f"layers.{i}.weight", torch.nn.Parameter(value)) for i, value in enumerate(values)]


def gradient_of(parameter, step):
    generator = torch.Generator().manual_seed(1000 + step)
    return torch.randn(parameter.shape, generator=generator).to(parameter.dtype)


def train(optimizer, named, steps):
    for step in range(steps):
        for _, parameter in named:
            parameter.grad = gradient_of(parameter, step)
        optimizer.step()


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64])
@pytest.mark.parametrize("options", [{}, {"relative_step": True}, {"first_moment": True}], ids=str)
def test_numbers_on_the_device_give_the_same_bits(dtype, options):
    ours, others = parameters(dtype), parameters(dtype)
    train(Adafactor(ours, lr=1e-2, **options), ours, 4)
    rate = torch.tensor(1e-2, dtype=torch.float64)
    train(Adafactor(others, lr=rate, capturable=True, **options), others, 4)
    for (name, a), (_, b) in zip(ours, others, strict=True):
        if options.get("relative_step") or options.get("first_moment"):
            torch.testing.assert_close(a, b, rtol=1e-2 if dtype == torch.bfloat16 else 1e-5, atol=1e-6)
        else:
            assert torch.equal(a, b), name


def test_a_rate_that_is_a_tensor_is_followed():
    (name, weight), rate = parameters()[0], torch.tensor(0.0)
    optimizer = Adafactor([(name, weight)], lr=rate, capturable=True)
    before = weight.detach().clone()
    train(optimizer, [(name, weight)], 1)
    assert torch.equal(weight, before)
    rate.fill_(0.5)
    train(optimizer, [(name, weight)], 1)
    assert (weight - before).square().mean().sqrt() > 0.1
    assert optimizer.state[weight]["step"] == 2


def test_rows_of_zeros_do_not_move_and_do_not_become_nan():
    """The unused rows of an embedding, beside gradients as large as they come before a loss is scaled down."""
    weight = torch.nn.Parameter(torch.ones(4, 8))
    weight.grad = torch.zeros(4, 8)
    weight.grad[0] = 1e6
    Adafactor([weight], weight_decay=0.0).step()
    assert torch.equal(weight[1:], torch.ones(3, 8))
    assert weight[0].isfinite().all() and (weight[0] < 1).all()


def llama_2_7b():
    """Shapes of its 291 tensors."""
    layer = [(4096, 4096)] * 4 + [(11008, 4096)] * 2 + [(4096, 11008)] + [(4096,)] * 2
    return layer * 32 + [(32000, 4096)] * 2 + [(4096,)]


def test_state_and_workspace_of_a_large_model_are_small():
    """Of the bytes of bf16 parameters: the state as it is allocated, and the workspace of a step of the kernels."""
    shapes = llama_2_7b()
    (row,) = rows_of("adafactor", "90")
    blocks = blocks_for(row, [shape_of(shape) for shape in shapes], few=FEW_PROGRAMS, enough=ENOUGH_PROGRAMS)
    assert not blocks.divided
    count = sum(torch.Size(shape).numel() for shape in shapes)
    assert len(shapes) == 291 and count == 6_738_415_616
    workspace = 4 * workspace_floats([shape_of(shape) for shape in shapes], blocks)
    assert state_bytes(shapes) + workspace <= 0.003 * 2 * count


def state_bytes(shapes):
    """Of an update without data, on the meta device, for one tensor of each shape, times how often there is one."""
    sizes = {}
    for shape in set(shapes):
        weight = torch.nn.Parameter(torch.empty(shape, device="meta", dtype=torch.bfloat16))
        weight.grad = torch.empty_like(weight)
        optimizer = Adafactor([weight], rounding="nearest")
        optimizer.step()
        sizes[shape] = sum(t.nbytes for t in optimizer.state[weight].values() if isinstance(t, torch.Tensor))
    return sum(sizes[shape] for shape in shapes)


@pytest.mark.parametrize(
    ("shape", "seen"),
    [((3, 4, 5), (12, 5)), ((7,), (0, 7)), ((), (0, 1)), ((0, 4), (0, 0)), ((4, 0), (0, 0)), ((1, 1), (1, 1))],
)
def test_tensors_are_seen_as_matrices_or_vectors(shape, seen):
    assert shape_of(shape) == seen


def test_the_workspace_counted_by_hand():
    """5 rows and 7 columns in chunks of 4 columns and cells of 1 row, 64 of which are a band."""
    assert Shape(5, 7).floats(Blocks(4, 1, 64)) == (2 * 5, 1 * 7, 2 * 5, 2 * 5, 0)
    assert Shape(129, 4).floats(Blocks(4, 2, 128)) == (129, 2 * 4, 65, 65, 0)
    assert Shape(129, 4).floats(Blocks(4, 2, 64)) == (129, 2 * 4, 65, 65, 65 * 4)
    assert Shape(0, 9).floats(Blocks(4, 1, 64)) == (0, 0, 0, 0, 0)


@pytest.mark.parametrize(
    ("shapes", "span", "programs"),
    [
        ([(4096, 4096)], 32, 256),
        ([(11008, 4096)], 64, 344),
        ([(128000, 4096)], 512, 500),
        ([(4096, 4096)] * 32, 2048, 128),
        ([(16, 8), (7,)], 32, 1),
    ],
    ids=str,
)
def test_few_bands_are_divided_until_there_are_programs_enough(shapes, span, programs):
    """2 chunks of columns each; 32 matrices have 128 bands, which is no longer few."""
    (row,) = rows_of("adafactor", "90")
    matrices = [shape_of(shape) for shape in shapes]
    blocks = blocks_for(row, matrices, few=FEW_PROGRAMS, enough=ENOUGH_PROGRAMS)
    assert blocks.span == span
    assert sum(shape.tiles(blocks.columns, span) for shape in matrices) == programs


def test_the_workspace_of_a_matrix_alone_is_a_sixteenth_of_its_bytes():
    """Beside what it is among others; no call takes more than 64 MiB of it."""
    (row,) = rows_of("adafactor", "90")
    for shape in ((4096, 4096), (32000, 4096), (2048 * 63, 4096)):
        matrix = shape_of(shape)
        blocks = blocks_for(row, [matrix], few=FEW_PROGRAMS, enough=ENOUGH_PROGRAMS)
        sums = 4 * matrix.floats(blocks)[-1]
        assert sums == 2 * shape[0] * shape[1] // 16 < 64 << 20
        assert 4 * workspace_floats([matrix], blocks) - sums <= 0.003 * 2 * shape[0] * shape[1]


def test_row_averages_that_were_saved_flat_are_taken():
    """Of a tensor of three dimensions, as they once were kept."""
    named, others = parameters(), parameters()
    optimizer, resumed = Adafactor(named), Adafactor(others)
    train(optimizer, named, 2)
    train(resumed, others, 2)
    saved = copy.deepcopy(optimizer.state_dict())
    saved["state"][2]["exp_avg_sq_row"] = saved["state"][2]["exp_avg_sq_row"].flatten()
    resumed.load_state_dict(saved)
    assert resumed.state[others[2][1]]["exp_avg_sq_row"].shape == (4, 6)
    train(optimizer, named, 1)
    train(resumed, others, 1)
    assert all(torch.equal(a, b) for (_, a), (_, b) in zip(named, others, strict=True))


def test_averages_of_another_number_of_rows_are_refused():
    named = parameters()
    optimizer = Adafactor(named)
    train(optimizer, named, 1)
    saved = copy.deepcopy(optimizer.state_dict())
    saved["state"][2]["exp_avg_sq_row"] = torch.ones(25)
    with pytest.raises(StateMismatchError, match=r"'layers\.2\.weight' has shape \(25,\), it must be \(4, 6\)"):
        optimizer.load_state_dict(saved)


def train_shards(folder, rank):
    """One rank: shards of parameters along either of their dimensions; writes what they are together."""
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/store", rank=rank, world_size=RANKS)
    mesh = init_device_mesh("cpu", (RANKS,))
    results = {str((dim, dtype)): sharded(mesh, dim, dtype) for dim, dtype in CASES}
    if rank == 0:
        torch.save(results, Path(folder) / "results.pt")
    dist.destroy_process_group()


def sharded(mesh, dim, dtype):
    """The whole parameters after three updates of their shards along `dim`."""
    shard, plain = [Shard(dim)], [(name, p) for name, p in parameters(dtype) if p.ndim > dim]
    named = [(name, torch.nn.Parameter(distribute_tensor(p.detach(), mesh, shard))) for name, p in plain]
    optimizer = Adafactor(named, lr=1e-2, seed=3)
    for step in range(3):
        for _, parameter in named:
            parameter.grad = distribute_tensor(gradient_of(parameter, step), mesh, shard)
        optimizer.step()
    states = [value for state in optimizer.state.values() for value in state.values() if isinstance(value, DTensor)]
    assert states and not any(placement.is_partial() for value in states for placement in value.placements)
    return [p.detach().full_tensor() for _, p in named]


def test_shards_of_two_ranks_are_updated_as_the_whole(tmp_path):
    """fp32 differs in the order of sums only; bf16 then differs where rounding turns that into another neighbour."""
    command = [sys.executable, __file__, str(tmp_path)]
    ranks = [subprocess.Popen([*command, str(rank)], stderr=subprocess.PIPE, text=True) for rank in range(RANKS)]
    watchdog = threading.Timer(120, lambda: [process.kill() for process in ranks])
    watchdog.start()
    errors = [process.communicate()[1] for process in ranks]
    watchdog.cancel()
    assert [process.returncode for process in ranks] == [0] * RANKS, errors
    results = torch.load(tmp_path / "results.pt", weights_only=True)
    for dim, dtype in CASES:
        named = [(name, p) for name, p in parameters(dtype) if p.ndim > dim]
        train(Adafactor(named, lr=1e-2, seed=3), named, 3)
        for ours, (_, wanted) in zip(results[str((dim, dtype))], named, strict=True):
            if dtype == torch.float32:
                torch.testing.assert_close(ours, wanted.detach(), rtol=1e-5, atol=1e-6)
            else:
                assert (ours != wanted).sum() <= 2


if __name__ == "__main__":
    train_shards(sys.argv[1], int(sys.argv[2]))
