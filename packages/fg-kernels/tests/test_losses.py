from inspect import signature

import pytest
import torch
import torch.nn.functional as F

import fg_kernels
from fg_kernels import nn
from fg_kernels.errors import BackendError, HyperparameterError, OperandError, UnknownOptionError
from fg_kernels.functional import linear_cross_entropy
from fg_kernels.nn import LinearCrossEntropyLoss, causal_lm_loss


def batch(*, bias=False, dtype=torch.float64):
    generator = torch.Generator().manual_seed(0)
    head = torch.nn.Linear(16, 50, bias=bias, dtype=dtype)
    hidden = torch.randn(3, 20, 16, generator=generator, dtype=torch.float64).to(dtype)
    labels = torch.randint(0, 50, (3, 20), generator=generator)
    labels[0, 5:9] = -100
    labels[2] = -100
    return head, hidden, labels


@pytest.mark.parametrize("bias", [False, True])
def test_sum_count_and_gradients_are_those_of_the_shifted_definition(bias):
    head, hidden, labels = batch(bias=bias)
    total, count = LinearCrossEntropyLoss(head)(hidden, labels)
    (total / count).backward()
    gradients = [parameter.grad.clone() for parameter in head.parameters()]
    head.zero_grad()
    logits = head(hidden)[:, :-1].flatten(0, 1)
    expected = F.cross_entropy(logits, labels[:, 1:].flatten())
    expected.backward()
    assert count.dtype == torch.int64 and count.item() == 2 * 19 - 4
    torch.testing.assert_close(total / count, expected, rtol=1e-12, atol=0)
    for got, parameter in zip(gradients, head.parameters(), strict=True):
        torch.testing.assert_close(got, parameter.grad, rtol=1e-10, atol=1e-12)


def test_agrees_with_the_loss_over_full_logits():
    head, hidden, labels = batch(dtype=torch.float32)
    loss = LinearCrossEntropyLoss(head)
    fused, plain = loss(hidden, labels), causal_lm_loss(loss.forward_logits(hidden), labels)
    torch.testing.assert_close(fused, plain)
    assert fused[0].dtype == plain[0].dtype == torch.float32


def test_options_reach_the_loss_and_the_logits():
    head, hidden, labels = batch()
    loss = LinearCrossEntropyLoss(head, softcap=1.5, logit_scale=0.5, shift=2)
    logits = loss.forward_logits(hidden)
    torch.testing.assert_close(logits, 1.5 * torch.tanh(head(hidden) * 0.5 / 1.5))
    torch.testing.assert_close(loss(hidden, labels), causal_lm_loss(logits, labels, shift=2))


def test_micro_batches_add_up_to_the_whole():
    head, hidden, labels = batch()
    loss = LinearCrossEntropyLoss(head)
    whole, parts = loss(hidden, labels), [loss(hidden[i : i + 1], labels[i : i + 1]) for i in range(3)]
    torch.testing.assert_close(sum(total for total, _ in parts), whole[0], rtol=1e-12, atol=0)
    assert sum(count for _, count in parts) == whole[1]


def test_a_tied_or_replaced_weight_is_seen():
    head, hidden, labels = batch()
    loss = LinearCrossEntropyLoss(head)
    before = loss(hidden, labels)[0]
    head.weight = torch.nn.Parameter(torch.zeros_like(head.weight))
    after, count = loss(hidden, labels)
    assert not torch.equal(before, after)
    torch.testing.assert_close(after / count, torch.tensor(50.0, dtype=torch.float64).log())


def test_plain_loss_of_bf16_logits_is_fp32():
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(2, 64, 100, generator=generator).bfloat16()
    labels = torch.randint(0, 100, (2, 64), generator=generator)
    total, count = causal_lm_loss(logits, labels)
    exact = F.cross_entropy(logits.double()[:, :-1].flatten(0, 1), labels[:, 1:].flatten(), reduction="sum")
    assert total.dtype == torch.float32 and count.item() == 126
    torch.testing.assert_close(total.double(), exact, rtol=1e-6, atol=0)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"mode": "slow"}, UnknownOptionError, "mode='slow' does not exist"),
        ({"backend": "cuda"}, UnknownOptionError, "backend='cuda' does not exist"),
        ({"acc_dtype": torch.bfloat16}, OperandError, "acc_dtype=torch.bfloat16 must be"),
        ({"logits_dtype": torch.float16}, OperandError, "logits_dtype=torch.float16 must be"),
        ({"softcap": 0.0}, HyperparameterError, "softcap=0.0 must be positive"),
        ({"label_smoothing": 1.0}, HyperparameterError, "label_smoothing=1.0"),
        ({"shift": -1}, HyperparameterError, "shift=-1"),
        ({"budget_mib": -1.0}, HyperparameterError, "budget_mib=-1.0"),
    ],
)
def test_an_option_that_is_none_is_refused_before_the_first_step(options, error, message):
    with pytest.raises(error, match=message):
        LinearCrossEntropyLoss(torch.nn.Linear(4, 8), **options)


def test_it_takes_every_option_of_the_function():
    ours, theirs = (set(signature(function).parameters) for function in (LinearCrossEntropyLoss, linear_cross_entropy))
    assert ours - theirs == {"output_embeddings"}
    assert theirs - ours == {"x", "weight", "bias", "target", "reduction"}


def test_dtypes_reach_the_loss():
    head, hidden, labels = batch(dtype=torch.float32)
    assert LinearCrossEntropyLoss(head, acc_dtype=torch.float64)(hidden, labels)[0].dtype == torch.float64
    with pytest.raises(BackendError, match=r"logits_dtype=torch\.float32"):
        LinearCrossEntropyLoss(head, logits_dtype=torch.float32, backend="torch")(hidden, labels)


def test_its_text_says_what_differs_from_the_defaults():
    head = torch.nn.Linear(4, 8)
    assert repr(LinearCrossEntropyLoss(head)) == "LinearCrossEntropyLoss(Linear (8, 4))"
    loss = LinearCrossEntropyLoss(head, softcap=30.0, mode="tiny", logits_dtype=torch.float32)
    assert repr(loss) == (
        "LinearCrossEntropyLoss(Linear (8, 4), softcap=30.0, mode='tiny', logits_dtype=torch.float32)"
    )


def test_modules_are_found_where_torch_has_its_own():
    assert nn.RMSNorm is fg_kernels.RMSNorm and nn.SwiGLU is fg_kernels.SwiGLU
    assert set(nn.__all__) == {"LinearCrossEntropyLoss", "RMSNorm", "SwiGLU", "causal_lm_loss"}


def test_what_does_not_fit_is_refused():
    with pytest.raises(OperandError, match="Dropout has None"):
        LinearCrossEntropyLoss(torch.nn.Dropout())
    with pytest.raises(OperandError, match=r"logits \(2, 3, 5\) do not fit labels \(2, 4\)"):
        causal_lm_loss(torch.zeros(2, 3, 5), torch.zeros(2, 4, dtype=torch.int64))
