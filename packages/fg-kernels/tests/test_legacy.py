import logging
import re
from importlib import import_module
from importlib.resources import files
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch

from fg_kernels.errors import BackendError, HyperparameterError, OperandError, UnknownOptionError
from fg_kernels.legacy import (
    adafactor,
    adamw,
    apollo,
    causal_loss,
    chunked_causal_loss,
    linear_cross_entropy_loss,
    multiopt,
    sgd,
    sinkgd,
)
from fg_kernels.nn import LinearCrossEntropyLoss
from fg_kernels.optim import SGD, Adafactor, AdamW, Apollo, SinkGD
from fg_kernels.reference._budget import Sizes, plan_for


def weights() -> list[tuple[str, torch.nn.Parameter]]:
    return [("w", torch.nn.Parameter(torch.ones(4, 4)))]


FACTORIES = [(adamw, AdamW), (adafactor, Adafactor), (apollo, Apollo), (sgd, SGD), (sinkgd, SinkGD)]


@pytest.mark.parametrize(("factory", "kind"), FACTORIES)
@pytest.mark.parametrize(("old", "new"), [(True, "stochastic"), (False, "nearest")])
def test_bf16_stochastic_round_becomes_rounding(factory, kind, old, new, caplog):
    optimizer = factory(weights(), lr=0.5, bf16_stochastic_round=old)
    assert type(optimizer) is kind
    assert optimizer.param_groups[0]["rounding"] == new and optimizer.param_groups[0]["lr"] == 0.5
    assert not caplog.records


def test_options_without_a_counterpart_are_mentioned(caplog):
    with caplog.at_level(logging.WARNING, logger="fg_kernels"):
        adafactor(weights(), torch_compile=True, use_triton=True)
        causal_loss(compile=True)
    mentioned = [record.getMessage().split(" only ")[0] for record in caplog.records]
    assert mentioned == [
        "Adafactor: torch_compile",
        "Adafactor: use_triton",
        "CausalLoss: compile",
    ]


def test_unknown_implementations_and_keywords_are_refused():
    with pytest.raises(UnknownOptionError, match="valid: 'auto', 'cce', 'liger', 'pytorch'"):
        linear_cross_entropy_loss(torch.nn.Linear(4, 8), impl="triton")
    with pytest.raises(TypeError, match="fused_step"):
        adamw(weights(), fused_step=True)


def test_the_original_order_of_arguments():
    expected = {"lr": 0.5, "betas": (0.8, 0.9), "eps": 1e-5, "weight_decay": 0.25, "rounding": "nearest"}
    group = adamw(weights(), 0.5, (0.8, 0.9), 1e-5, 0.25, False, False).param_groups[0]
    assert {key: group[key] for key in expected} == expected
    expected |= {"decay_rate": -0.7, "clip_threshold": 2.0, "eps": (1e-20, 1e-2), "relative_step": True}
    positional = (0.5, -0.7, 2.0, (0.8, 0.9), (1e-20, 1e-2), 0.25, True, False, False, False)
    group = adafactor(weights(), *positional).param_groups[0]
    assert {key: group[key] for key in expected} == expected
    expected = {"lr": 0.5, "eps": 1e-5, "rank": 2, "scale": 3.0, "scale_front": True, "update_steps": 7, "mini": True}
    group = apollo(weights(), 0.5, (0.8, 0.9), 1e-5, 0.0, 2, 3.0, True, 7, True, None).param_groups[0]
    assert {key: group[key] for key in expected} == expected
    expected = {"lr": 0.5, "num_iters": 3, "weight_decay": 0.25, "eps": 1e-5, "normalize_output": False}
    group = sinkgd(weights(), 0.5, 3, 0.25, 1e-5, False).param_groups[0]
    assert {key: group[key] for key in expected} == expected


def test_a_list_of_optimizers_becomes_one_with_numbered_members():
    members = [sgd(weights(), lr=0.5), sgd([("v", torch.nn.Parameter(torch.ones(2)))], lr=0.25)]
    combined = multiopt(members)
    assert list(combined.optimizers.items()) == [("0", members[0]), ("1", members[1])]
    for group in combined.param_groups:
        group["params"][0].grad = torch.ones_like(group["params"][0])
    combined.step()
    assert [group["params"][0].flatten()[0].item() for group in combined.param_groups] == [0.5, 0.75]


def test_a_factory_of_the_original_projectors_is_refused_before_the_first_step():
    with pytest.raises(OperandError, match=r"takes \(rank, dim, proj_type\).*\(gradient, rank, number\)"):
        apollo(weights(), projector_factory=lambda rank, dim, proj_type: None)
    optimizer = apollo(weights(), projector_factory=lambda gradient, rank, number: gradient[:, :rank].t())
    parameter = optimizer.param_groups[0]["params"][0]
    parameter.grad = torch.ones_like(parameter)
    optimizer.step()
    assert not torch.equal(parameter, torch.ones_like(parameter))


@pytest.mark.parametrize(("impl", "backend"), [("auto", "auto"), ("pytorch", "reference")])
def test_an_implementation_of_the_loss_becomes_a_backend(impl, backend, caplog):
    with caplog.at_level(logging.INFO, logger="fg_kernels"):
        assert linear_cross_entropy_loss(torch.nn.Linear(4, 8), impl=impl, compile=True).backend == backend
    said = [record.getMessage() for record in caplog.records]
    assert said[-1].endswith("compile is not needed") and (len(said) == 2) == (impl == "auto")


@pytest.mark.parametrize(("impl", "module"), [("cce", "cut_cross_entropy"), ("liger", "liger_kernel")])
def test_a_library_asked_for_by_name_is_used_or_refused(impl, module):
    if find_spec(module):
        assert linear_cross_entropy_loss(torch.nn.Linear(4, 8, bias=False), impl=impl).backend == impl
    else:
        with pytest.raises(BackendError, match=f"{module}.*not installed; install it, or set impl='auto'"):
            linear_cross_entropy_loss(torch.nn.Linear(4, 8, bias=False), impl=impl)


def test_cut_cross_entropy_is_refused_a_bias():
    with pytest.raises(BackendError, match=r"impl='cce' cannot do .* a bias; set impl='auto'"):
        linear_cross_entropy_loss(torch.nn.Linear(4, 8), impl="cce")


@pytest.mark.parametrize("option", ["accum_e_fp32", "filter_eps", "lse_square_scale", "backend"])
def test_options_of_the_libraries_are_refused_by_name(option):
    with pytest.raises(UnknownOptionError, match=f"option='{option}' does not exist; valid: 'acc_dtype'"):
        linear_cross_entropy_loss(torch.nn.Linear(4, 8), **{option: 1})


@pytest.mark.parametrize("rows", [64, 256, 4096])
def test_a_chunk_size_becomes_the_memory_of_so_many_tokens(rows):
    head = torch.nn.Linear(64, 32000, bias=False)
    loss = linear_cross_entropy_loss(head, impl="pytorch", chunk_size=rows)
    sizes = Sizes(1 << 16, 32000, 64, torch.float32, torch.float32, raised=False, biased=False, capped=False)
    plan = plan_for(sizes, loss.mode, loss.budget_mib)
    assert (plan.mode, plan.rows) == ("fast", rows)


def test_a_chunk_size_does_not_change_the_loss(caplog):
    head, hidden = torch.nn.Linear(4, 8), torch.randn(2, 6, 4, generator=torch.Generator().manual_seed(0))
    labels = torch.arange(12).view(2, 6) % 8
    expected = LinearCrossEntropyLoss(head)(hidden, labels)
    torch.testing.assert_close(linear_cross_entropy_loss(head, chunk_size=3)(hidden, labels), expected)
    assert not caplog.records
    assert linear_cross_entropy_loss(head, chunk_size=3, budget_mib=5.0).budget_mib == 5.0
    assert "chunk_size=3 is not used: budget_mib decides" in caplog.text
    with pytest.raises(HyperparameterError, match="chunk_size=0"):
        linear_cross_entropy_loss(head, chunk_size=0)


def test_the_loss_passes_its_other_options_on():
    loss = linear_cross_entropy_loss(torch.nn.Linear(4, 8), ignore_index=-1, softcap=30.0)
    assert isinstance(loss, LinearCrossEntropyLoss) and (loss.ignore_index, loss.softcap) == (-1, 30.0)


@pytest.mark.parametrize("factory", [causal_loss, chunked_causal_loss])
def test_the_losses_of_logits_return_sum_and_count(factory):
    logits, labels = torch.zeros(1, 4, 8), torch.tensor([[1, 2, 3, -1]])
    total, count = factory(ignore_index=-1)(logits, labels)
    assert count == 2
    torch.testing.assert_close(total, 2 * torch.tensor(8.0).log())


def test_every_alias_names_something_that_exists():
    yaml = pytest.importorskip("yaml")
    aliases = yaml.safe_load(files("fg_kernels").joinpath("aliases.yaml").read_text("utf-8"))
    assert aliases
    for old, target in aliases.items():
        module, _, name = target.partition(":")
        assert old.startswith("forgather.ml.") and callable(getattr(import_module(module), name)), old


def test_the_changelog_names_every_alias_and_no_other():
    yaml = pytest.importorskip("yaml")
    aliases = yaml.safe_load(files("fg_kernels").joinpath("aliases.yaml").read_text("utf-8"))
    changelog = Path(__file__).parents[1].joinpath("CHANGELOG.md").read_text("utf-8")
    entry = changelog.partition("names of the original Forgather")[2].partition(" Of their keywords")[0]
    names = {name for name in re.findall(r"`([\w.]+)`", entry) if "." not in name} - {"multiopt"}
    assert names == {old.partition(":")[2] for old in aliases}
