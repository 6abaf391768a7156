"""Who carries out each operation on this machine, and why."""

from __future__ import annotations

import importlib.util
from typing import Final, NamedTuple

import torch

from fg_kernels import dispatch
from fg_kernels.errors import check_option

_PLAIN: Final = dict.fromkeys(dispatch.PLAIN_OPTIMIZERS, dispatch.Offer(frozenset(), {}))


class Row(NamedTuple):
    """An operation, who carries it out, why, and whose libraries may be asked for by name: whether they are there."""

    op: str
    backend: str
    reason: str
    peers: dict[str, bool]


def choices(op: str | None = None) -> list[Row]:
    """The choice for `op`, or for all operations, on tensors of the dtype that suits its kernel best.

    Raises:
        UnknownOptionError: there is no such operation.
    """
    offers = dict(sorted((dispatch.offers() | _PLAIN).items()))
    if op is not None:
        check_option("op", op, offers)
    return [_row(name, offer) for name, offer in offers.items() if op in (None, name)]


def _row(op: str, offer: dispatch.Offer) -> Row:
    device = "cuda" if torch.cuda.is_available() else "cpu"
    suits_bf16 = torch.bfloat16 in offer.dtypes or not offer.dtypes
    dtype = torch.bfloat16 if suits_bf16 else min(offer.dtypes, key=str)
    choice = dispatch.which(op, torch.empty(0, dtype=dtype, device=device))
    peers = {name: importlib.util.find_spec(module) is not None for name, module in offer.peers.items()}
    return Row(op, choice.backend, choice.reason, peers)
