"""Functions of other libraries behind ours: used when asked for by name, with their numerics and their memory.

An adapter translates the arguments and refuses what its library cannot do; it never changes the question.
"""

from __future__ import annotations

from importlib import import_module

from torch import Tensor

from fg_kernels.backends._request import Request
from fg_kernels.dispatch import choose

_MODULES = {
    "cce": "cut_cross_entropy",
    "liger": "liger",
    "quack": "quack",
    "torch": "torch",
}
PEERS = tuple(_MODULES)


def linear_cross_entropy(request: Request, backend: str) -> Tensor:
    """Return the losses (tokens,) or their sum, as the library behind `backend` computes them.

    Raises:
        BackendError: the library is not installed, or cannot do this.
    """
    choose("linear_cross_entropy", request.x, backend=backend)
    adapter = import_module(f"fg_kernels.backends.{_MODULES[backend]}")
    return adapter.linear_cross_entropy(request)


__all__ = [
    "PEERS",
    "Request",
    "linear_cross_entropy",
]
