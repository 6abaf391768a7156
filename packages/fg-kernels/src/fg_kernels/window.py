"""Where the elements of a shard lie in the whole tensor."""

from __future__ import annotations

import math
from typing import NamedTuple

from torch import Tensor

from fg_kernels.errors import OperandError


class Window(NamedTuple):
    """Element `i` of a piece is element `offset + i // width * stride + i % width` of the whole, both flattened.

    Without a width the piece is one run of elements from `offset` on.
    """

    offset: int = 0
    width: int = 0
    stride: int = 0

    @property
    def contiguous(self) -> bool:
        """Whether the piece is one run of elements."""
        return self.width == 0 or self.width == self.stride


def window_of(tensor: Tensor, name: str) -> Window:
    """Return where the local part of `tensor` lies in the whole: everything, unless it is a DTensor.

    Raises:
        OperandError: the elements of the shard are no evenly spaced runs, as in a tensor of three dimensions that is
            sharded along the last two.
    """
    # DTensor, told by its attribute: importing torch.distributed.tensor for a type test would be slow.
    if not hasattr(tensor, "placements"):
        return Window()
    from fg_kernels._compat import local_shape_and_offset

    local, start = local_shape_and_offset(tensor)
    return box_window(tuple(tensor.shape), local, start, name)


def box_window(whole: tuple[int, ...], box: tuple[int, ...], start: tuple[int, ...], name: str) -> Window:
    """Return the window of a box of shape `box` at `start` inside a tensor of shape `whole`.

    Raises:
        OperandError: the box of parameter `name` is no evenly spaced runs of elements.
    """
    if 0 in box:
        return Window()
    strides = [math.prod(whole[dim + 1 :]) for dim in range(len(whole))]
    offset = sum(begin * stride for begin, stride in zip(start, strides, strict=True))
    match _merged(box, strides):
        case [] | [(_, 1)]:
            return Window(offset)
        case [(_, stride)]:
            return Window(offset, 1, stride)
        case [(_, stride), (width, 1)]:
            return Window(offset, width, stride)
    raise OperandError(f"{name!r}: a shard of shape {box} at {start} of {whole} is no evenly spaced run of elements")


def _merged(box: tuple[int, ...], strides: list[int]) -> list[tuple[int, int]]:
    """(size, stride) of each dimension of a box, those left out that do not advance, and joined that run on."""
    dims: list[tuple[int, int]] = []
    for size, stride in zip(box, strides, strict=True):
        if size == 1:
            continue
        if dims and dims[-1][1] == size * stride:
            dims[-1] = (dims[-1][0] * size, stride)
        else:
            dims.append((size, stride))
    return dims
