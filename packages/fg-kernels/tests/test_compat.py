"""What torch may change with any version, called once each: a failure here says what a new version has changed."""

import threading
from importlib.metadata import requires

import pytest
import torch
import torch.distributed as dist
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.tensor import Shard, distribute_tensor
from torch.profiler import ProfilerActivity, profile

from fg_kernels import _compat


@torch.library.custom_op("fg_kernels_test::doubled", mutates_args=())
def doubled(x: torch.Tensor) -> torch.Tensor:
    return x + x


class Names(_compat.TorchDispatchMode):
    """Notes the operations that are carried out, those in the bodies of ours included."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[str] = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        self.seen.append(func.overloadpacket.__name__)
        if func.namespace != "fg_kernels_test":
            return func(*args, **(kwargs or {}))
        with self:
            return _compat.run_body(func, args[0], args, kwargs or {})


def sees_operations() -> None:
    ones = torch.ones(2)
    with Names() as names:
        twos = doubled(ones)
    assert names.seen == ["doubled", "add"] and twos.tolist() == [2.0, 2.0]


def adds() -> None:
    counters = [torch.zeros((), dtype=torch.int64), torch.ones((), dtype=torch.int64)]
    _compat.add_to_each(counters, 1)
    assert [int(counter) for counter in counters] == [1, 2]


def measures_norms() -> None:
    norms = _compat.norms_of([torch.tensor([3.0, 4.0], dtype=torch.bfloat16), torch.zeros(2, 2)])
    assert [(norm.item(), norm.dtype, norm.ndim) for norm in norms] == [
        (5.0, torch.float32, 0),
        (0.0, torch.float32, 0),
    ]


def counts_bytes() -> None:
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiler:
        tensor = torch.zeros(1024)
        del tensor
    events = _compat.allocations(profiler)
    assert max(events) == 4096 and min(events) == -4096


def knows_fake_tensors() -> None:
    with FakeTensorMode() as mode:
        fake = torch.ones(2)
    assert _compat.is_fake(fake) and _compat.is_fake(mode.from_tensor(torch.ones(2)))
    assert not _compat.is_fake(torch.ones(2)) and not _compat.is_fake(torch.nn.Parameter(torch.ones(2)))


@_compat.constant_in_graphs
def three() -> int:
    return 3 if threading.get_ident() else 0


def keeps_constants() -> None:
    compiled = torch.compile(lambda x: x * three(), backend="eager", fullgraph=True)
    assert compiled(torch.ones(2)).tolist() == [3.0, 3.0]


@_compat.outside_graphs
def compiling() -> bool:
    return torch.compiler.is_compiling()


def stays_outside() -> None:
    assert torch.compile(lambda x: x + compiling(), backend="eager")(torch.ones(1)).item() == 1.0
    with pytest.raises(torch._dynamo.exc.Unsupported):
        torch.compile(lambda x: x + compiling(), backend="eager", fullgraph=True)(torch.ones(1))


def finds_shards() -> None:
    mesh = init_device_mesh("cpu", (1,))
    sharded = distribute_tensor(torch.ones(6, 4), mesh, [Shard(0)])
    assert _compat.local_shape_and_offset(sharded) == ((6, 4), (0, 0))


def knows_what_autograd_protects() -> None:
    leaf = torch.ones(4, requires_grad=True)
    assert not _compat.may_change_in_place(leaf) and not _compat.may_change_in_place(leaf[:2])
    assert _compat.may_change_in_place(leaf * 2) and _compat.may_change_in_place((leaf * 2)[:2])
    assert not _compat.may_change_in_place((leaf * 2).unbind()[0])


def orthogonalises() -> None:
    matrix = torch.diag(torch.tensor([1.0, 0.5, 0.25]))
    result = _compat.newton_schulz(matrix, (3.4445, -4.7750, 2.0315), 5, 1e-7)
    singular = torch.linalg.svdvals(result.float())
    assert result.dtype == torch.bfloat16 and singular.min() > 0.6 and singular.max() < 1.3


CALLS = {
    "TorchDispatchMode": sees_operations,
    "add_to_each": adds,
    "allocations": counts_bytes,
    "constant_in_graphs": keeps_constants,
    "is_fake": knows_fake_tensors,
    "local_shape_and_offset": finds_shards,
    "may_change_in_place": knows_what_autograd_protects,
    "newton_schulz": orthogonalises,
    "norms_of": measures_norms,
    "outside_graphs": stays_outside,
    "run_body": sees_operations,
}


@pytest.fixture
def _alone(tmp_path):
    dist.init_process_group("gloo", init_method=f"file://{tmp_path}/store", rank=0, world_size=1)
    yield
    dist.destroy_process_group()


@pytest.mark.parametrize("name", _compat.__all__)
@pytest.mark.usefixtures("_alone")
def test_the_installed_torch_still_has(name):
    CALLS[name]()


def test_the_oldest_torch_is_the_one_that_the_package_accepts():
    (bound,) = [line.partition(">=")[2] for line in requires("fg-kernels") or () if line.startswith("torch>=")]
    assert f"torch {bound}, the oldest" in (_compat.__doc__ or "")
    assert tuple(map(int, torch.__version__.split(".")[:2])) >= tuple(map(int, bound.split(".")))
