"""AdamW's and SGD's kernels on a device: bits of the CPU, captured graphs, no waiting host."""

import pytest
import torch

from fg_kernels.dispatch import which
from fg_kernels.errors import HyperparameterError
from fg_kernels.optim import SGD, AdamW
from fg_kernels.triton.multi_tensor import DeviceTable, tile_map

pytestmark = [
    pytest.mark.cuda,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device"),
]

SHAPES = ((300, 256), (129, 77), (4096,), (7,))
CASES = [
    (AdamW, {"state_dtype": torch.float32, "weight_decay": 0.1}),
    (AdamW, {"state_dtype": torch.bfloat16}),
    (AdamW, {"state_dtype": "8bit"}),
    (AdamW, {"rounding": "nearest"}),
    (SGD, {"weight_decay": 0.1}),
    (SGD, {"momentum": 0.9, "nesterov": True}),
]


def parameters(dtype: torch.dtype, device: str) -> list[tuple[str, torch.nn.Parameter]]:
    generator = torch.Generator().manual_seed(0)
    values = [torch.randn(shape, generator=generator).to(device, dtype) for shape in SHAPES]
    return [(f"layers.{i}.weight", torch.nn.Parameter(value)) for i, value in enumerate(values)]


def gradients_of(named, step: int) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(1000 + step)
    return [torch.randn(p.shape, generator=generator).to(p.device, p.dtype) for _, p in named]


def train(optimizer, named, steps: range) -> None:
    for step in steps:
        for (_, parameter), gradient in zip(named, gradients_of(named, step), strict=True):
            parameter.grad = gradient
        optimizer.step()


def assert_equal_bits(ours, theirs) -> None:
    for (name, a), (_, b) in zip(ours, theirs, strict=True):
        assert torch.equal(a.detach().cpu(), b.detach().cpu()), name


@pytest.mark.parametrize(("kind", "options"), CASES)
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32])
def test_the_kernel_has_the_bits_of_the_plain_rule_on_the_cpu(kind, options, dtype):
    ours, theirs = parameters(dtype, "cuda"), parameters(dtype, "cpu")
    assert which(kind.kernel, ours[0][1]).backend == "triton"
    train(kind(ours, lr=1e-2, fused=True, **options), ours, range(5))
    train(kind(theirs, lr=1e-2, **options), theirs, range(5))
    assert_equal_bits(ours, theirs)


@pytest.mark.parametrize(("kind", "options"), CASES)
def test_a_captured_graph_replays_what_steps_would_do(kind, options):
    ours, theirs = parameters(torch.bfloat16, "cuda"), parameters(torch.bfloat16, "cuda")
    rate = torch.tensor(1e-2, device="cuda")
    captured = kind(ours, lr=rate, capturable=True, fused=True, **options)
    eager = kind(theirs, lr=rate.clone(), capturable=True, fused=True, **options)
    gradients = gradients_of(ours, 0)
    for (_, parameter), gradient in zip(ours, gradients, strict=True):
        parameter.grad = gradient
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        captured.step()
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        captured.step()
    for step in range(1, 4):
        for gradient, fresh in zip(gradients, gradients_of(ours, step), strict=True):
            gradient.copy_(fresh)
        rate.fill_(1e-2 / step)
        graph.replay()
    for step in range(4):
        eager.param_groups[0]["lr"].fill_(1e-2 / max(1, step))
        train(eager, theirs, range(step, step + 1))
    assert_equal_bits(ours, theirs)


@pytest.mark.parametrize(("kind", "options"), CASES)
@pytest.mark.parametrize("capturable", [True, False])
def test_the_host_never_waits(kind, options, capturable):
    named = parameters(torch.bfloat16, "cuda")
    optimizer = kind(named, lr=1e-2, capturable=capturable, fused=True, **options)
    train(optimizer, named, range(1))
    fresh = [gradients_of(named, step) for step in (1, 2)]
    torch.cuda.set_sync_debug_mode("error")
    try:
        for gradients in fresh:
            for (_, parameter), gradient in zip(named, gradients, strict=True):
                parameter.grad = gradient
            optimizer.step()
    finally:
        torch.cuda.set_sync_debug_mode("default")
    assert int(optimizer.state[named[0][1]]["step"]) == 3


def test_one_parameter_at_a_time_has_the_same_bits():
    ours, others = parameters(torch.bfloat16, "cuda"), parameters(torch.bfloat16, "cuda")
    train(AdamW(ours), ours, range(3))
    single = AdamW(others)
    for step in range(3):
        for (_, parameter), gradient in zip(others, gradients_of(others, step), strict=True):
            parameter.grad = gradient
            single.step_param(parameter)
    assert_equal_bits(ours, others)


@pytest.mark.parametrize("kind", [AdamW, SGD])
def test_a_graph_that_would_repeat_one_update_is_refused(kind):
    named = parameters(torch.bfloat16, "cuda")
    optimizer = kind(named)
    train(optimizer, named, range(1))
    with (
        pytest.raises(HyperparameterError, match="build it with capturable=True"),
        torch.cuda.graph(torch.cuda.CUDAGraph()),
    ):
        optimizer.step()
    train(optimizer, named, range(1, 2))
    assert optimizer.state[named[0][1]]["step"] == 2


def test_tables_first_written_while_a_graph_is_captured():
    device, table = torch.device("cuda", 0), DeviceTable(torch.int64)
    tiles, rows = tuple(range(1, 50)), [[index, index + 1] for index in range(1000)]
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        captured = tile_map(tiles, device), table.written(rows, device)
    # Not yet replayed: what is asked for now must not be the graph's, which is still empty.
    eager = tile_map(tiles, device).cpu(), table.written(rows, device).cpu()
    assert eager[1].tolist() == rows and eager[0].tolist() == tile_map(tiles, torch.device("cpu")).tolist()
    # Host memory that was given back would be written over here.
    others = [torch.full((size, 2), -1, dtype=torch.int64).pin_memory() for size in (613, 1000, 1225) for _ in range(9)]
    graph.replay()
    assert [made.tolist() for made in captured] == [there.tolist() for there in eager] and len(others) == 27
