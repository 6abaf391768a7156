"""What is compiled ahead of time: every kernel with every row of its config table, for every architecture.

A module of kernels says with `compile_cases(arch)` how its kernels are called. From that they are compiled without a
GPU, and the compiled code is held against limits: no spills, registers, shared memory, instructions and bytes per
element.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any, Final

from fg_kernels.triton.launch import Config

ARCHITECTURES: Final = (80, 86, 89, 90, 100, 120)
MODULES: Final = (
    "activation",
    "adafactor",
    "adafactor_fold",
    "adamw",
    "cross_entropy",
    "normalization",
    "quantization",
    "rotary",
    "rounding",
    "sgd",
)


@dataclass(frozen=True, kw_only=True, slots=True)
class CompileCase:
    """One kernel with one set of block sizes.

    Attributes:
        name: of the row in the table of limits, for example "sr_copy" or "adamw/bf16-state".
        kernel: the `triton.jit` function.
        signature: type of each run-time argument in order, as Triton spells it: "*bf16", "i32", "fp32".
        constants: the `constexpr` arguments beside the blocks of `config`.
        config: blocks, warps, stages.
        elements: tensor elements (parameters, logits) that one program handles in all.
        trips: how often each loop of the kernel runs for that, in the order of the source.
        divisible: arguments that are multiples of 16 (addresses of 16 bytes included).
        exact: results have the bits of the reference, so no multiplication and addition may share a rounding.
        wide: memory is read and written in pieces of 4 bytes and more for each thread.
    """

    name: str
    kernel: Any
    signature: Mapping[str, str]
    config: Config
    elements: int
    constants: Mapping[str, Any] = field(default_factory=dict)
    trips: tuple[int, ...] = ()
    divisible: frozenset[str] = frozenset()
    exact: bool = True
    wide: bool = True

    @property
    def key(self) -> str:
        """The name with the blocks, which tells it from every other case of an architecture."""
        config = self.config
        sizes = [*sorted(config.blocks.items()), ("warps", config.num_warps), ("stages", config.num_stages)]
        return " ".join((self.name, *(f"{name}={size}" for name, size in sizes)))


def compile_cases(arch: int) -> Iterator[CompileCase]:
    """All cases of one architecture."""
    for module in MODULES:
        yield from import_module(f"fg_kernels.triton.{module}").compile_cases(arch)
