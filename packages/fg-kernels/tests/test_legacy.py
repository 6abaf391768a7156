import logging
from importlib import import_module
from importlib.resources import files

import pytest
import torch

from fg_kernels.errors import UnknownOptionError
from fg_kernels.legacy import (
    adafactor,
    adamw,
    apollo,
    causal_loss,
    chunked_causal_loss,
    linear_cross_entropy_loss,
    sgd,
    sinkgd,
)
from fg_kernels.nn import LinearCrossEntropyLoss
from fg_kernels.optim import SGD, Adafactor, AdamW, Apollo, SinkGD


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
        linear_cross_entropy_loss(torch.nn.Linear(4, 8), impl="liger", chunk_size=1024)
    mentioned = [record.getMessage().split(" only ")[0] for record in caplog.records]
    assert mentioned == [
        "Adafactor: torch_compile",
        "Adafactor: use_triton",
        "LinearCrossEntropyLoss: impl",
        "LinearCrossEntropyLoss: chunk_size",
    ]


def test_unknown_implementations_and_keywords_are_refused():
    with pytest.raises(UnknownOptionError, match="valid: 'auto', 'cce', 'liger', 'pytorch'"):
        linear_cross_entropy_loss(torch.nn.Linear(4, 8), impl="triton")
    with pytest.raises(TypeError, match="fused_step"):
        adamw(weights(), fused_step=True)


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
