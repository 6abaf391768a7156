"""Initial weights that depend on the seed and the parameter's name, and on nothing else.

Every parameter has its own random generator, seeded by a hash of (seed, name), and is drawn in fp32 on the CPU. So one
stage of a pipeline, a model built on the meta device and a model built at once start from the same bits.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Sequence

import torch
from torch import Generator, Tensor, nn

Rule = tuple[str, Callable[[Tensor, Generator], object]]


def normal(tensor: Tensor, generator: Generator, *, std: float = 0.02) -> None:
    """Independent normal values of standard deviation `std`."""
    tensor.normal_(0.0, std, generator=generator)


def depth_scaled_normal(tensor: Tensor, generator: Generator, *, num_hidden_layers: int, std: float = 0.02) -> None:
    """For projections that write into the residual stream: its variance stays independent of depth when each of the
    2 · num_hidden_layers contributions shrinks by that square root (Radford et al. 2019, section 2.3)."""
    tensor.normal_(0.0, std * (2 * num_hidden_layers) ** -0.5, generator=generator)


def ones(tensor: Tensor, generator: Generator) -> None:
    """Gains of norms."""
    tensor.fill_(1.0)


def zeros(tensor: Tensor, generator: Generator) -> None:
    """Biases."""
    tensor.zero_()


def parameter_generator(seed: int, name: str) -> Generator:
    """The random generator of one parameter."""
    digest = hashlib.blake2b(f"{seed}:{name}".encode(), digest_size=8).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest, "little") >> 1)


def initialize_weights(model: nn.Module, *, rules: Sequence[Rule]) -> None:
    """Fill the parameters of `model` that hold no loaded weights, by the first rule whose pattern is found in the name.

    The seed is the one last given to `torch.manual_seed`. Parameters on the meta device are left alone.

    Raises:
        ValueError: no rule matches a parameter.
    """
    seed = torch.initial_seed()
    for name, parameter in model.named_parameters():
        if parameter.is_meta or getattr(parameter, "_is_hf_initialized", False):  # set by from_pretrained
            continue
        rule = next((function for pattern, function in rules if re.search(pattern, name)), None)
        if rule is None:
            raise ValueError(f"no rule initialises {name}; the patterns are {[pattern for pattern, _ in rules]}")
        values = torch.empty(parameter.shape, dtype=torch.float32, device="cpu")
        rule(values, parameter_generator(seed, name))
        with torch.no_grad():
            parameter.copy_(values)
