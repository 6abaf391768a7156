"""Where a shard's elements lie in the whole tensor, against indexing itself."""

from itertools import pairwise

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from fg_kernels import reference
from fg_kernels.errors import OperandError
from fg_kernels.philox import noise16
from fg_kernels.window import Window, box_window, window_of


@st.composite
def boxes(draw):
    whole = tuple(draw(st.lists(st.integers(1, 6), min_size=1, max_size=4)))
    start = tuple(draw(st.integers(0, size - 1)) for size in whole)
    box = tuple(draw(st.integers(0, size - begin)) for size, begin in zip(whole, start, strict=True))
    return whole, start, box


def indices(whole, start, box) -> list[int]:
    """The flat indices of a box, by cutting it out."""
    numbers = torch.arange(torch.Size(whole).numel()).view(whole)
    for dim, (begin, size) in enumerate(zip(start, box, strict=True)):
        numbers = numbers.narrow(dim, begin, size)
    return numbers.flatten().tolist()


def said(window: Window, count: int) -> list[int]:
    if window.contiguous:
        return [window.offset + i for i in range(count)]
    return [window.offset + i // window.width * window.stride + i % window.width for i in range(count)]


@given(boxes())
def test_a_window_names_the_elements_of_its_box(case):
    whole, start, box = case
    wanted = indices(whole, start, box)
    try:
        window = box_window(whole, box, start, "w")
    except OperandError:
        jumps = {after - before for before, after in pairwise(wanted)} - {1}
        assert len(jumps) > 1, "runs of one length and one distance were refused"
        return
    assert said(window, len(wanted)) == wanted


def test_a_tensor_that_is_not_sharded_is_the_whole():
    assert window_of(torch.zeros(2, 3), "w") == Window()


def test_a_shard_along_the_last_two_of_three_dimensions_is_refused_by_name():
    with pytest.raises(OperandError, match=r"'blocks\.0': a shard of shape \(2, 2, 2\)"):
        box_window((2, 4, 4), (2, 2, 2), (0, 2, 0), "blocks.0")


@given(boxes(), st.integers(0, 2**32 - 1))
def test_noise_of_a_window_is_cut_out_of_the_noise_of_the_whole(case, step):
    whole, start, box = case
    wanted = indices(whole, start, box)
    try:
        window = box_window(whole, box, start, "w")
    except OperandError:
        return
    key = {"seed": 3, "name": "w", "step": step, "device": "cpu"}
    everything = noise16(torch.Size(whole).numel(), **key)
    assert noise16(len(wanted), window=window, **key).tolist() == everything[wanted].tolist()


def test_a_shard_of_columns_is_rounded_as_in_the_whole():
    values = torch.randn(16, 24, generator=torch.Generator().manual_seed(0))
    key = {"seed": 1, "name": "w", "step": 5}
    whole = reference.sr_copy_(torch.empty(16, 24, dtype=torch.bfloat16), values, **key)
    window = box_window((16, 24), (16, 7), (0, 10), "w")
    part = reference.sr_copy_(torch.empty(16, 7, dtype=torch.bfloat16), values[:, 10:17], window=window, **key)
    assert torch.equal(part, whole[:, 10:17])
    by_tensor = reference.sr_copy_(
        torch.empty(16, 24, dtype=torch.bfloat16), values, seed=1, name="w", step=torch.tensor(5)
    )
    assert torch.equal(by_tensor, whole)
