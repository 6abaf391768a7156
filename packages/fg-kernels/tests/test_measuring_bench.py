"""The benchmark's own arithmetic: modelled bytes, targets, contenders that are absent, tables."""

import math

import pytest
import torch

from fg_kernels import Adafactor, AdamW
from fg_kernels.measuring import optimizers
from fg_kernels.measuring.bench import Plan, measured
from fg_kernels.measuring.calibration import Peaks, calibrate
from fg_kernels.measuring.case import Absent, Case, Work, peer
from fg_kernels.measuring.clock import interleaved_ms
from fg_kernels.measuring.losses import Problem, loss_cases, plain
from fg_kernels.measuring.memory import peak_bytes
from fg_kernels.measuring.optimizers import (
    adafactor_memory,
    llama_2_7b,
    optimizer_cases,
    path_error,
    rules,
    state_bytes,
)
from fg_kernels.measuring.report import report, target_table
from fg_kernels.measuring.table import number, text_table
from fg_kernels.measuring.targets import TARGETS, judged
from fg_kernels.measuring.traffic import traffic_of_update

CPU = torch.device("cpu")
PLAN = Plan(device=CPU, rounds=2)
PEAKS = Peaks(copy=1e9, matmul=1e9, matmul_dtype="float32")


def row(case, contender="fg_kernels", **figures):
    op = case.partition("/")[0]
    return {"case": case, "op": op, "shape": {}, "contender": contender, **figures}


def record_of(*rows):
    machine = {"accelerator": None, "processor": "some"}
    return {"peaks": PEAKS._asdict(), "machine": machine, "device": "cpu", "results": rows, "targets": []}


def verdicts(rows, device="cuda"):
    return {verdict["target"]: verdict for verdict in judged(rows, torch.device(device))}


def test_llama_2_7b_has_its_291_tensors():
    shapes = llama_2_7b()
    assert len(shapes) == 291 and sum(map(math.prod, shapes)) == 6_738_415_616


def test_contenders_take_turns():
    order = []
    contenders = {name: lambda name=name: order.append(name) for name in "ab"}
    assert set(interleaved_ms(contenders, rounds=3, device=CPU)) == {"a", "b"}
    assert order == ["a", "b"] * 3


def test_peaks_are_rates_of_this_machine():
    """A copy faster than 10 TB/s or slower than 100 MB/s is an error of the measurement."""
    peaks = calibrate(CPU, rounds=3)
    assert 1e8 < peaks.copy < 1e13 and 1e8 < peaks.matmul < 1e15


def test_who_cannot_take_part_is_reported_with_the_reason():
    def without_library(device):
        return peer("a_library_that_nobody_has")

    def out_of_memory(device):
        def run():
            raise torch.OutOfMemoryError("out of memory\nand a page of advice")

        return Work(run=run)

    case = Case(
        name="copy/16",
        op="copy",
        shape={"elements": 16},
        elements=16,
        contenders={
            "fg_kernels": lambda device: Work(run=lambda: torch.ones(16).clone(), facts=lambda: {"error": 0.5}),
            "peer": without_library,
            "large": out_of_memory,
        },
    )
    ours, absent, failed = measured(case, PLAN, PEAKS)
    assert ours["moved bytes per element"] == 4 + 4 + 4 and ours["error"] == 0.5  # ones written, read, copy written
    assert absent["absent"] == "a_library_that_nobody_has is not installed"
    assert failed["failed"] == "out of memory" and "absent" not in failed


def test_a_peer_with_other_arguments_does_not_end_the_run_but_an_error_of_ours_does():
    def changed(device):
        raise TypeError("unexpected keyword argument")

    def contest(**contenders):
        return measured(Case(name="x/1", op="x", shape={}, elements=1, contenders=contenders), PLAN, PEAKS)

    assert contest(peer=changed) == [
        {"case": "x/1", "op": "x", "shape": {}, "contender": "peer", "failed": "unexpected keyword argument"}
    ]
    with pytest.raises(TypeError, match="unexpected keyword"):
        contest(fg_kernels=changed)


def test_what_is_slow_on_a_cpu_runs_twice_and_is_timed():
    calls = []
    work = Work(run=lambda: calls.append(torch.ones(8)))
    case = Case(name="x/1", op="x", shape={}, elements=8, contenders={"fg_kernels": lambda _: work}, slow_on_cpu=True)
    (found,) = measured(case, PLAN, PEAKS)
    assert len(calls) == 2 and found["ms on CPU"] > 0 and found["moved bytes per element"] == 4


def test_a_peer_for_cuda_devices_is_absent_on_a_cpu():
    with pytest.raises(Absent, match="needs a CUDA device"):
        peer("torch", device=CPU)
    assert peer("torch") is torch


def test_path_errors_tell_standing_still_from_following():
    assert path_error(lambda named: AdamW(named, lr=1e-4), CPU) < 0.02
    assert path_error(lambda named: AdamW(named, lr=1e-4, rounding="nearest"), CPU) > 0.9
    assert math.isnan(path_error(lambda named: AdamW(named, lr=0.0), CPU)), "there is no path"


STATE = {
    "adafactor": 4 * 2 / 64,
    "adamw": 8,
    "adamw-bf16": 4,
    "adamw-8bit": 2 + 2 * 4 / 256,
    "sgd": 0,
    "sgd-momentum": 4,
    "muon": 4,
    "sinkgd": 0,
}


@pytest.mark.parametrize("name", rules())
def test_every_optimizer_is_measured_and_none_asks_the_device(name):
    made = []
    for make in rules()[name].ours.values():
        traffic = traffic_of_update(lambda named, make=make: made.append(make(named)) or made[-1], shape=(64, 64))
        assert traffic.host_reads == 0 and traffic.operations > 0
    if name in STATE:
        assert {state_bytes(optimizer) / 64**2 for optimizer in made} == {STATE[name]}
    else:
        assert all(0 < state_bytes(optimizer) < 64**2 for optimizer in made)


def test_adafactors_memory_for_llama_2_7b_is_that_of_the_state_and_workspace_it_asks_for():
    """Beside rows and columns in fp32, which are easily counted, the workspace takes about twice as much."""
    shapes = llama_2_7b()
    numbers = sum(sum(shape) for shape in shapes)
    weights = 2 * sum(map(math.prod, shapes))
    assert 4 * numbers / weights < adafactor_memory(shapes) <= 0.003
    assert adafactor_memory([(64,)]) == 2, "a vector has fp32 state beside bf16, and no workspace"
    work = next(optimizer_cases(CPU, quick=True)).contenders["fg_kernels"](CPU)
    work.run()
    verdict = verdicts([row("adafactor/1024x1024", **work.facts())], "cpu")["A4"]
    assert verdict["result"] == "passed" and verdict["value"] == adafactor_memory(shapes)


def test_on_a_gpu_only_what_fits_is_measured_on_a_whole_model():
    names = [case.name for case in optimizer_cases(torch.device("cuda"))]
    assert [name for name in names if "llama" in name] == ["adafactor/llama-2-7b"]
    assert {name.partition("/")[0] for name in names} == set(rules())


def test_contenders_share_weights_and_gradients():
    case = next(optimizer_cases(CPU, quick=True))
    optimizers._parameters.cache_clear()
    before = peak_bytes(lambda: case.contenders["fg_kernels"](CPU))
    assert peak_bytes(lambda: case.contenders["torch foreach"](CPU)) < before / 100


def test_state_is_counted_in_bytes():
    parameter = torch.nn.Parameter(torch.zeros(64, 32, dtype=torch.bfloat16))
    parameter.grad = torch.ones_like(parameter)
    for optimizer, expected in ((AdamW([parameter]), 8 * 64 * 32), (Adafactor([parameter]), 4 * (64 + 32))):
        optimizer.step()
        assert state_bytes(optimizer) == expected


def test_errors_of_a_loss_are_those_against_fp64():
    def in_fp64(x, weight, target):
        return plain(x.double(), weight.double(), target)

    problem = Problem(64, 300, 16, CPU)
    wide = problem.errors(problem.outcome(in_fp64))
    assert wide["loss error"] < 1e-12
    assert 1e-4 < wide["dx error"] < 4e-3, "gradients of bf16 operands are rounded to bf16"
    off = problem.errors(problem.outcome(lambda *operands: in_fp64(*operands) + 0.25))
    assert off["loss error"] == pytest.approx(0.25)


@pytest.mark.parametrize(("fraction", "result"), [(0.9, "passed"), (0.85, "passed"), (0.84, "failed")])
def test_a_target_is_a_gate(fraction, result):
    found = verdicts([row("adafactor/4096x4096", **{"of copy": fraction})])["A1"]
    assert (found["result"], found["value"], found["gate"]) == (result, fraction, "≥ 0.85")


def test_what_was_not_measured_is_not_run():
    assert {verdict["result"] for verdict in verdicts([]).values()} == {"not run"}
    absent = [row("adafactor/4096x4096", absent="needs something else")]
    found = verdicts(absent)["A1"]
    assert (found["result"], found["reason"]) == ("not run", "fg_kernels: needs something else")
    on_cpu = [row("adafactor/4096x4096", **{"of copy": 0.9})]
    assert verdicts(on_cpu, "cpu")["A1"]["result"] == "not run"


def test_a_target_is_failed_where_ours_fails_and_not_run_where_a_peer_does():
    matrix = "adafactor/4096x4096"
    ours = verdicts([row(matrix, failed="out of memory"), row(matrix, "transformers", ms=8.0)])
    assert {(ours[name]["result"], ours[name]["reason"]) for name in ("A1", "A1, transformers")} == {
        ("failed", "fg_kernels failed: out of memory")
    }
    theirs = verdicts([row(matrix, ms=1.0), row(matrix, "transformers", failed="out of memory")])
    assert theirs["A1, transformers"]["result"] == "not run"
    assert theirs["A1, transformers"]["reason"] == "transformers failed: out of memory"


LOSS = "linear_cross_entropy/llama-3-8b"


@pytest.mark.parametrize(
    ("target", "case", "peers", "limit"),
    [
        ("A1, torch", "adafactor/4096x4096", ("torch foreach", "torch for-loop"), 3),
        ("A1, transformers", "adafactor/4096x4096", ("transformers",), 8),
        ("A1, compiled", "adafactor/4096x4096", ("compiled reference, nearest",), 1.5),
        ("C1, liger", LOSS, ("liger",), 1.5),
        ("C1, cut-cross-entropy", LOSS, ("cut-cross-entropy",), 1.3),
        ("C1, torch", LOSS, ("torch linear_cross_entropy",), 2),
        ("C1, quack", LOSS, ("quack",), 0.95),
        ("C2, liger", "linear_cross_entropy/gemma-2-2b", ("liger",), 3),
    ],
)
def test_races_are_judged_by_the_fastest_of_the_peers(target, case, peers, limit):
    def found(ms):
        rows = [row(case, ms=2.0), *(row(case, peer, ms=ms * 2**slower) for slower, peer in enumerate(peers))]
        return verdicts(rows)[target]

    assert (found(2.0 * limit)["value"], found(2.0 * limit)["result"]) == (limit, "passed")
    assert found(1.99 * limit)["result"] == "failed"
    assert verdicts([row(case, ms=2.0)])[target]["result"] == "not run"


def test_adafactor_races_an_adamw_of_another_case():
    rows = [row("adafactor/4096x4096", ms=1.0), row("adamw/4096x4096", "torch fused", ms=1.25)]
    assert verdicts(rows)["A1, AdamW"]["value"] == 1.25


def test_every_peer_of_a_race_is_a_contender():
    cuda = torch.device("cuda")
    cases = {case.name: case for case in (*optimizer_cases(cuda), *loss_cases(cuda))}
    assert {"torch foreach", "torch for-loop", "transformers", "compiled reference, nearest"} <= set(
        cases["adafactor/4096x4096"].contenders
    )
    assert "torch fused" in cases["adamw/4096x4096"].contenders
    peers = {"liger", "cut-cross-entropy", "torch linear_cross_entropy", "quack"}
    assert all(peers <= set(case.contenders) for case in loss_cases(cuda))


def test_costs_of_a_peer_that_fail_do_not_end_the_run():
    def facts():
        raise ValueError

    case = Case(name="x/1", op="x", shape={}, elements=1, contenders={"peer": lambda _: Work(run=int, facts=facts)})
    (found,) = measured(case, PLAN, PEAKS)
    assert found["failed"] == "ValueError" and found["ms on CPU"] >= 0
    assert "failed: ValueError" in report(record_of(found))


@pytest.mark.parametrize(("forward", "backward"), [(1 << 20, 1 << 10), (1 << 10, 1 << 20)])
def test_memory_beyond_the_gradients_is_that_of_the_larger_pass(forward, backward):
    """A loss that forms the gradients in the forward pass, the weight's in fp32, and takes a known amount of memory."""

    class Known(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x, weight, target):
            ctx.save_for_backward(torch.zeros_like(x), torch.zeros_like(weight, dtype=torch.float32))
            return torch.empty(forward, dtype=torch.uint8)[:1].sum(dtype=torch.float32)

        @staticmethod
        def backward(ctx, slope):
            x, weight = ctx.saved_tensors
            gradients = x.clone(), weight.bfloat16(), None
            torch.empty(backward, dtype=torch.uint8)
            return gradients

    beyond = Problem(64, 300, 16, CPU).working_bytes(Known.apply, torch.float32)
    assert 1 << 20 <= beyond <= (1 << 20) + 64


def test_ours_stay_within_what_the_case_allows_them():
    (case,) = loss_cases(CPU, quick=True)
    for name, budget in (("fg_kernels", 256), ("fg_kernels, tiny", 64)):
        work = case.contenders[name](CPU)
        work.run()
        assert 1 < work.facts()["working MiB"] <= budget


def test_surcharge_memory_and_errors_are_computed_from_the_rows():
    case = "linear_cross_entropy/llama-3-8b"
    shape = {"tokens": 8192, "vocabulary": 128256, "hidden": 4096}
    errors = {"loss error": 5e-5, "dx error": 0.002, "dw error": 0.003}
    rows = [
        row("adafactor/4096x11008", ms=1.03),
        row("adafactor/4096x11008", "fg_kernels, nearest", ms=1.0),
        row(case, **errors, **{"extra peak MiB": 4000, "working MiB": 250, "of matmul": 0.9}) | {"shape": shape},
        row(case, "torch, all logits", **errors | {"dx error": 0.001}),
    ]
    found = verdicts(rows)
    assert found["A3"]["value"] == pytest.approx(0.03) and found["A3"]["result"] == "passed"
    assert found["C1 memory"]["value"] == pytest.approx(250) and found["C1 memory"]["result"] == "passed"
    assert found["C5"]["value"] == 5e-5
    assert found["C5 gradients"]["value"] == pytest.approx(2) and found["C5 gradients"]["result"] == "failed"


def test_every_target_has_a_name_of_its_own_and_a_line():
    assert len({target.name for target in TARGETS}) == len(TARGETS)
    table = target_table(judged([], CPU))
    assert table.count("not run") == len(TARGETS)


def test_figures_are_short_and_columns_straight():
    assert [number(value) for value in (None, 0, 0.12345, 1.5e-6, 1234.5, -3.14159)] == [
        *("–", "0", "0.123", "1.5e-06", "1,234", "-3.14"),
    ]
    table = text_table(("name", "ms", "why"), [("a", "10", "x"), ("long", "2.5", "yy")])
    assert table.splitlines() == ["name   ms  why", "a      10  x", "long  2.5  yy"]


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_events_time_the_device():
    """A product of 8192 takes more than 0.1 ms on anything, and a flushed copy at least as long as a warm one."""
    a = torch.ones(8192, 8192, dtype=torch.bfloat16, device="cuda")
    times = interleaved_ms({"product": lambda: a @ a}, rounds=5, device=a.device)
    assert 0.1 < times["product"] < 1000
    assert calibrate(a.device, rounds=5).copy > 1e11
