"""Frequencies of rotary embeddings, and the known ways of stretching them over longer contexts.

default   RoFormer, arXiv 2104.09864
linear    positions divided by a factor; Chen et al., arXiv 2306.15595
dynamic   the base grows with the length ("NTK-aware"), transformers' formula
yarn      fast pairs are kept, slow ones are divided, between them a ramp; Peng et al., arXiv 2309.00071
llama3    the same idea by wavelength; Llama 3.1, arXiv 2407.21783
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeAlias

import torch
from torch import Tensor

from fg_kernels.errors import HyperparameterError, OperandError, check_option, check_range


class RopeFrequencies(NamedTuple):
    """What `rope_tables` needs.

    Attributes:
        inv_freq: fp32 (pairs,), radians per position.
        attention_scaling: factor of cosines and sines.
    """

    inv_freq: Tensor
    attention_scaling: float


@dataclass(frozen=True, kw_only=True, slots=True)
class _Setting:
    dim: int
    theta: float
    max_position: int
    length: int
    options: Mapping[str, Any]

    def option(self, name: str, default: float | None = None) -> float:
        value = _chosen(self.options, name, default)
        if value is None:
            raise HyperparameterError(f"rope scaling {self.options['rope_type']!r} needs {name!r}")
        if not value > 0:
            raise HyperparameterError(f"{name}={value!r} of a rope scaling must be positive")
        return value

    @property
    def plain(self) -> Tensor:
        return _inverse_frequencies(self.theta, self.dim)


def _chosen(options: Mapping[str, Any], name: str, default: float | None) -> Any:
    """An option, or the default if it is missing or None, as configurations write it."""
    value = options.get(name)
    return default if value is None else value


def rope_frequencies(
    head_dim: int,
    *,
    theta: float = 10_000.0,
    max_position: int = 2048,
    scaling: Mapping[str, Any] | None = None,
    length: int | None = None,
    partial_rotary_factor: float = 1.0,
) -> RopeFrequencies:
    """Return the frequency of each pair of features, and the factor of cosines and sines.

    Args:
        head_dim: features of a head.
        theta: base of the geometric series of frequencies, above one.
        max_position: positions that the model is made for, at least one.
        scaling: `rope_scaling` (or `rope_parameters`) of a model's configuration: "rope_type" and its options. A
            "rope_theta" or "partial_rotary_factor" in it comes before the argument.
        length: tokens of the sequence, for "dynamic"; below `max_position` it changes nothing.
        partial_rotary_factor: share of `head_dim` that is rotated.

    Raises:
        UnknownOptionError: a type or an option that does not exist.
        HyperparameterError: an option that is missing, or a number outside its range.
        OperandError: no whole number of pairs, or more of them than `head_dim` has.
    """
    options = dict(scaling or {})
    kind = options.setdefault("rope_type", options.pop("type", "default"))
    check_option("rope_type", kind, _RULES)
    for name in options:
        check_option(f"scaling of type {kind!r}: option", name, (*_COMMON, *_OPTIONS[kind]))
    base = _chosen(options, "rope_theta", theta)
    if not 1 < base < math.inf:
        raise HyperparameterError(f"theta={base!r} must be above one and finite")
    check_range("max_position", max_position, 1)
    dim = int(head_dim * _chosen(options, "partial_rotary_factor", partial_rotary_factor))
    if not 0 < dim <= head_dim or dim % 2:
        raise OperandError(
            f"head_dim={head_dim} rotates {dim} features; the number must be even and positive, at most all"
        )
    setting = _Setting(
        dim=dim,
        theta=base,
        max_position=max_position,
        length=max(length or 0, max_position),
        options=options,
    )
    return _RULES[kind](setting)


def _default(setting: _Setting) -> RopeFrequencies:
    return RopeFrequencies(setting.plain, 1.0)


def _linear(setting: _Setting) -> RopeFrequencies:
    return RopeFrequencies(setting.plain / setting.option("factor"), 1.0)


def _dynamic(setting: _Setting) -> RopeFrequencies:
    factor, dim = setting.option("factor"), setting.dim
    check_range("rotated features of dynamic scaling", dim, 4)
    stretch = factor * setting.length / setting.max_position - (factor - 1)
    return RopeFrequencies(_inverse_frequencies(setting.theta * stretch ** (dim / (dim - 2)), dim), 1.0)


def _yarn(setting: _Setting) -> RopeFrequencies:
    original = setting.option("original_max_position_embeddings", setting.max_position)
    factor = setting.option("factor", setting.max_position / original)
    fast, slow = setting.option("beta_fast", 32.0), setting.option("beta_slow", 1.0)
    low, high = (_pair_that_turns(times, original, setting) for times in (fast, slow))
    if setting.options.get("truncate", True):
        low, high = math.floor(low), math.ceil(high)
    low, high = max(low, 0), min(high, setting.dim - 1)
    width = (high - low) or 0.001
    slowness = ((torch.arange(setting.dim // 2, dtype=torch.float32) - low) / width).clamp(0, 1)
    mixed = setting.plain / factor * slowness + setting.plain * (1 - slowness)
    return RopeFrequencies(mixed, _yarn_attention(setting, factor))


def _pair_that_turns(times: float, positions: float, setting: _Setting) -> float:
    """The (fractional) number of the pair that makes `times` full turns over `positions`."""
    return setting.dim * math.log(positions / (times * 2 * math.pi)) / (2 * math.log(setting.theta))


def _yarn_attention(setting: _Setting, factor: float) -> float:
    if setting.options.get("attention_factor") is not None:
        return setting.option("attention_factor")
    mscale, of_all = (setting.options.get(name) for name in ("mscale", "mscale_all_dim"))
    if mscale and of_all:
        return _temperature(factor, mscale) / _temperature(factor, of_all)
    return _temperature(factor, 1.0)


def _temperature(factor: float, mscale: float) -> float:
    return 1.0 if factor <= 1 else 0.1 * mscale * math.log(factor) + 1.0


def _llama3(setting: _Setting) -> RopeFrequencies:
    factor = setting.option("factor")
    low, high = setting.option("low_freq_factor"), setting.option("high_freq_factor")
    original = setting.option("original_max_position_embeddings")
    if not low < high:
        raise HyperparameterError(f"low_freq_factor={low} must be below high_freq_factor={high}")
    turns = original * setting.plain / (2 * math.pi)
    kept = ((turns - low) / (high - low)).clamp(0, 1)
    return RopeFrequencies((1 - kept) * setting.plain / factor + kept * setting.plain, 1.0)


def _inverse_frequencies(theta: float, dim: int) -> Tensor:
    return 1.0 / theta ** (torch.arange(0, dim, 2, dtype=torch.float32) / dim)


_Rule: TypeAlias = Callable[[_Setting], RopeFrequencies]
_RULES: dict[str, _Rule] = {
    "default": _default,
    "linear": _linear,
    "dynamic": _dynamic,
    "yarn": _yarn,
    "llama3": _llama3,
}
_COMMON = ("rope_type", "rope_theta", "partial_rotary_factor")
_OPTIONS: dict[str, tuple[str, ...]] = {
    "default": (),
    "linear": ("factor",),
    "dynamic": ("factor", "original_max_position_embeddings"),
    "yarn": (
        "factor",
        "original_max_position_embeddings",
        "attention_factor",
        "beta_fast",
        "beta_slow",
        "mscale",
        "mscale_all_dim",
        "truncate",
    ),
    "llama3": ("factor", "low_freq_factor", "high_freq_factor", "original_max_position_embeddings"),
}
