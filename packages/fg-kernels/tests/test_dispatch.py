"""Who carries out an operation, why, and who is refused."""

import logging
import subprocess
import sys
import threading

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode

from fg_kernels import dispatch, functional, optim
from fg_kernels.dispatch import BACKENDS, Choice, use, which
from fg_kernels.errors import BackendError, UnknownOptionError

WEIGHT = torch.zeros(8, dtype=torch.bfloat16)


def test_on_a_cpu_plain_torch_computes_and_says_why():
    choice = which("sr_copy_", WEIGHT)
    assert choice.backend == "reference"
    assert choice.reason in ("triton is not installed", "the tensors are on cpu, not on a CUDA device")


def test_what_has_no_kernel_is_said():
    assert which("muon", WEIGHT) == Choice("reference", "there is no Triton kernel for it")


def test_a_dtype_that_the_kernel_does_not_take_is_named():
    choice = which("sr_copy_", torch.zeros(8, dtype=torch.float64))
    assert choice == Choice("reference", "the kernel takes torch.bfloat16, not torch.float64")


def test_the_nearest_wish_holds_and_ends_with_its_block():
    with use("interpret"):
        with use("reference"):
            assert which("sr_copy_", WEIGHT) == Choice("reference", "asked for")
        with pytest.raises(BackendError, match="interpret"):
            which("muon", WEIGHT)
    assert which("muon", WEIGHT).backend == "reference"


def test_an_argument_comes_before_a_wish_and_a_wish_before_the_environment(monkeypatch):
    monkeypatch.setenv(dispatch.ENVIRONMENT_VARIABLE, "triton")
    with pytest.raises(BackendError, match=r"sr_copy_: 'triton' cannot be used: "):
        which("sr_copy_", WEIGHT)
    with use("auto"):
        assert which("sr_copy_", WEIGHT).backend == "reference"
    assert which("sr_copy_", WEIGHT, backend="reference").backend == "reference"


def test_a_misspelt_environment_variable_is_an_error_not_a_default(monkeypatch):
    monkeypatch.setenv(dispatch.ENVIRONMENT_VARIABLE, "tritn")
    with pytest.raises(UnknownOptionError, match="Did you mean 'triton'"):
        which("sr_copy_", WEIGHT)


@pytest.mark.parametrize("call", [lambda: which("sr_copy_", WEIGHT, strict=True), lambda: functional_call()])
def test_a_strict_wish_raises_where_plain_torch_would_compute(call):
    with use("auto", strict=True), pytest.raises(BackendError, match="sr_copy_"):
        call()


def functional_call():
    return functional.sr_copy_(WEIGHT.clone(), torch.ones(8), seed=0, name="w", step=1)


def test_nothing_is_written_when_a_backend_is_refused():
    target = WEIGHT.clone()
    with pytest.raises(BackendError):
        functional.sr_copy_(target, torch.ones(8), seed=0, name="w", step=1, backend="triton")
    assert torch.equal(target, WEIGHT)


@pytest.mark.parametrize("choose", [lambda: which("sr_copy_", WEIGHT, backend="cuda"), lambda: use("cuda").__enter__()])
def test_a_backend_that_does_not_exist_is_named_with_those_that_do(choose):
    with pytest.raises(UnknownOptionError, match=", ".join(f"'{name}'" for name in sorted(BACKENDS))):
        choose()


@pytest.mark.parametrize(("op", "near"), [("sr_copy", "sr_copy_"), ("AdamW", "adamw"), ("linear_crossentropy", "lin")])
def test_an_operation_that_does_not_exist_is_an_error_not_a_fallback(op, near):
    with pytest.raises(UnknownOptionError, match=rf"op='{op}' does not exist; valid: 'adafactor'.* mean '{near}"):
        which(op, WEIGHT)
    with pytest.raises(UnknownOptionError, match="op='nonsense' does not exist"), use("reference"):
        which("nonsense")


def test_every_function_and_every_optimizer_is_known():
    functions = {name for name in functional.__all__ if name[0].islower()}
    kinds = {kind for kind in vars(optim).values() if isinstance(kind, type) and issubclass(kind, optim.Optimizer)}
    optimizers = {kind.__name__.lower() for kind in kinds - {optim.Optimizer, optim.MultiOptimizer}}
    assert {"adamw", "muon"} <= optimizers and {"rms_norm", "rope_tables"} <= functions
    for op in functions | optimizers:
        assert which(op, WEIGHT, backend="reference") == Choice("reference", "asked for")


@pytest.mark.parametrize(("backend", "more"), [("torch", "; plain torch is called 'reference'"), ("liger", "")])
def test_a_library_of_others_is_no_choice_for_everything(monkeypatch, backend, more):
    message = f"'{backend}' is no backend for everything; name it where it is wanted: backend='{backend}'{more}$"
    with pytest.raises(BackendError, match=message), use(backend):
        pass
    monkeypatch.setenv(dispatch.ENVIRONMENT_VARIABLE, backend)
    with pytest.raises(BackendError, match=message):
        which("sr_copy_", WEIGHT)


@pytest.fixture
def with_triton(monkeypatch):
    monkeypatch.setattr(dispatch, "_has_triton", lambda: True)


@pytest.mark.parametrize(
    ("capability", "choice"),
    [
        ((7, 5), Choice("reference", "compute capability 7.5 is below 8.0")),
        ((8, 0), Choice("triton", "the tensors fit the kernel")),
        ((12, 0), Choice("triton", "the tensors fit the kernel")),
    ],
)
def test_kernels_run_from_ampere_on(monkeypatch, with_triton, capability, choice):
    monkeypatch.setattr(dispatch, "_capability", lambda device: capability)
    with FakeTensorMode():
        weight = torch.empty(8, dtype=torch.bfloat16, device="cuda")
    assert which("sr_copy_", weight) == choice
    if choice.backend == "reference":
        with pytest.raises(BackendError, match=r"sr_copy_: 'triton' cannot be used: compute capability 7\.5"):
            which("sr_copy_", weight, backend="triton")


def test_a_plan_for_a_device_that_is_not_here(with_triton):
    """Its tensors have no memory, and there is nothing whose compute capability could be asked for."""
    with FakeTensorMode():  # without gradients: torch itself ends the process where it was built without CUDA
        x = torch.empty(2, 8, 16, device="cuda:63", dtype=torch.bfloat16)
        weight, scale = x.new_empty(100, 16), x.new_empty(16)
        loss = functional.linear_cross_entropy(x, weight, x.new_zeros(2, 8, dtype=torch.int64), reduction="sum")
        normed = functional.rms_norm(x, scale)
    assert (loss.shape, loss.dtype, loss.device) == ((), torch.float32, x.device)
    assert (normed.shape, normed.dtype, normed.device) == (x.shape, x.dtype, x.device)
    assert which("rms_norm", x) == Choice("reference", "this machine has no cuda:63")


def test_a_library_of_others_is_used_only_by_name(monkeypatch):
    peers = {"sr_copy_": {"absent": "no_such_module"}, "muon": {"own": "torch"}}
    monkeypatch.setattr(dispatch, "_PEERS", peers)
    assert which("muon", WEIGHT).backend == "reference"
    assert which("muon", WEIGHT, backend="own") == Choice("own", "asked for")
    with pytest.raises(BackendError, match="'absent' needs the module 'no_such_module', which is not installed"):
        which("sr_copy_", WEIGHT, backend="absent")


def test_a_wish_reaches_the_threads_that_autograd_calls_hooks_in():
    found = []
    with use("reference"):
        thread = threading.Thread(target=lambda: found.append(which("sr_copy_", WEIGHT).reason))
        thread.start()
        thread.join()
    assert found == ["asked for"]


def test_blocks_of_threads_that_end_out_of_order_take_back_their_own_wishes():
    first, second = use("interpret"), use("reference")
    first.__enter__()
    second.__enter__()
    first.__exit__(None, None, None)
    assert which("sr_copy_", WEIGHT) == Choice("reference", "asked for")
    second.__exit__(None, None, None)
    assert which("sr_copy_", WEIGHT).reason != "asked for"


def test_a_number_has_no_features_to_count():
    assert which("rms_norm", torch.ones(())).backend == "reference"


def test_a_fallback_on_the_cpu_is_no_news(caplog):
    with caplog.at_level(logging.DEBUG, logger="fg_kernels"):
        functional_call()
    assert caplog.records == []


def test_nothing_heavy_is_imported_before_it_is_chosen():
    script = (
        "import sys, fg_kernels.functional, fg_kernels.optim, fg_kernels.dispatch\n"
        "before = set(sys.modules)\n"
        "ours = {name for name in before if name.split('.')[0] in {'liger_kernel', 'cut_cross_entropy', 'quack'}}\n"
        "assert not ours and 'fg_kernels.triton.rounding' not in before, sorted(ours)\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
