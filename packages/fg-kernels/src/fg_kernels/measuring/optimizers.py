"""Optimizers beside their peers: one matrix of bf16, and the tensors of a whole model on a GPU."""

from __future__ import annotations

import importlib.util
import math
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Any, Final, TypeAlias

import torch
from torch import Tensor
from torch.nn import Parameter

import fg_kernels
from fg_kernels.measuring.case import Absent, Case, Work, peer
from fg_kernels.triton.adafactor_plan import ENOUGH_PROGRAMS, FEW_PROGRAMS, blocks_for, shape_of, workspace_floats
from fg_kernels.triton.cases import ARCHITECTURES
from fg_kernels.triton.launch import configs_of

Named: TypeAlias = list[tuple[str, Parameter]]
Make: TypeAlias = Callable[[Named], torch.optim.Optimizer]
Shapes: TypeAlias = tuple[tuple[int, ...], ...]

# Small against bf16: half a step at weights around one is 4e-3, so that rounding to nearest shows.
_LEARNING_RATE: Final = 1e-4
_PATH_SHAPE: Final = (256, 512)
_PATH_UPDATES: Final = 20


@dataclass(frozen=True, kw_only=True, slots=True)
class Rule:
    """An optimizer of ours and its peers.

    Attributes:
        ours: with and without stochastic rounding.
        peers: find out on a device what makes each.
        step: its launches, by their name in `fg_kernels.compiling.optimizers`; "" where there is no kernel.
        bytes_per_parameter: that must move for a bf16 parameter: gradient, weight and state, read and written; None
            where no kernel of ours is to come near.
        facts: what else is to be known of ours.
        whole_model: measured on all tensors of a model too, whose weights and gradients alone take 25 GiB.
    """

    ours: Mapping[str, Make]
    peers: Mapping[str, Callable[[torch.device], Make]]
    step: str = ""
    bytes_per_parameter: float | None = None
    facts: Callable[[], Mapping[str, float]] = dict
    whole_model: bool = False


def llama_2_7b() -> list[tuple[int, ...]]:
    """The 291 tensors of Llama 2 7B (Touvron et al., arXiv 2307.09288): 6.74e9 parameters."""
    layer: list[tuple[int, ...]] = [*[(4096, 4096)] * 4, *[(11008, 4096)] * 2, (4096, 11008), *[(4096,)] * 2]
    return [(32000, 4096), *layer * 32, (4096,), (32000, 4096)]


def optimizer_cases(device: torch.device, *, quick: bool = False) -> Iterator[Case]:
    """One case for each rule and size."""
    sizes: dict[str, Shapes] = {"1024x1024": ((1024, 1024),)}
    if device.type == "cuda" and not quick:
        sizes = {"4096x4096": ((4096, 4096),), "4096x11008": ((4096, 11008),), "llama-2-7b": tuple(llama_2_7b())}
    for name, rule in rules().items():
        for size, shapes in sizes.items():
            if len(shapes) == 1 or rule.whole_model:
                yield _case(f"{name}/{size}", name.partition("-")[0], rule, shapes)


def rules() -> dict[str, Rule]:
    """The optimizers that are measured, by the name of their case."""
    return _adafactors() | _adamws() | _sgds() | _plain()


def _adafactors() -> dict[str, Rule]:
    return {
        "adafactor": Rule(
            ours=_both(fg_kernels.Adafactor),
            step="Adafactor",
            # Update clipping needs the gradient three times: for its sums, for the update's norm, for the update.
            bytes_per_parameter=3 * 2 + 2 * 2,
            facts=lambda: {"memory per byte of Llama 2 7B": adafactor_memory(llama_2_7b())},
            whole_model=True,
            peers=_torch(torch.optim.Adafactor, foreach=False)
            | _torch(torch.optim.Adafactor, foreach=True)
            | {"transformers": _transformers_adafactor}
            | _compiled(fg_kernels.Adafactor),
        ),
    }


def _adamws() -> dict[str, Rule]:
    fused = _torch(torch.optim.AdamW, fused=True)
    return {
        "adamw": Rule(
            ours=_both(fg_kernels.AdamW),
            step="AdamW",
            bytes_per_parameter=3 * 2 + 4 * 4,
            peers=_torch(torch.optim.AdamW, foreach=True)
            | fused
            | {"torchao": _torchao("_AdamW")}
            | _compiled(fg_kernels.AdamW),
        ),
        "adamw-bf16": Rule(
            ours=_both(fg_kernels.AdamW, state_dtype=torch.bfloat16),
            step="AdamW, bf16 state",
            bytes_per_parameter=3 * 2 + 4 * 2,
            peers=fused | {"torchao": _torchao("_AdamW")},
        ),
        "adamw-8bit": Rule(
            ours=_both(fg_kernels.AdamW, state_dtype="8bit"),
            step="AdamW, 8-bit state",
            bytes_per_parameter=3 * 2 + 4 * 1,
            peers=fused | {"torchao": _torchao("AdamW8bit")},
        ),
    }


def _sgds() -> dict[str, Rule]:
    kind = torch.optim.SGD
    return {
        "sgd": Rule(
            ours=_both(fg_kernels.SGD),
            step="SGD",
            bytes_per_parameter=3 * 2,
            peers=_torch(kind, foreach=True) | _torch(kind, fused=True),
        ),
        "sgd-momentum": Rule(
            ours=_both(fg_kernels.SGD, momentum=0.9),
            step="SGD, momentum",
            bytes_per_parameter=3 * 2 + 2 * 4,
            peers=_torch(kind, foreach=True, momentum=0.9) | _torch(kind, fused=True, momentum=0.9),
        ),
    }


def _plain() -> dict[str, Rule]:
    """Those that have no kernel: their matrix products and norms are torch's everywhere."""
    return {
        "muon": Rule(ours=_both(fg_kernels.Muon), peers=_torch(torch.optim.Muon)),
        "apollo": Rule(ours=_both(fg_kernels.Apollo), peers={}),
        "sinkgd": Rule(ours=_both(fg_kernels.SinkGD), peers={}),
    }


def state_bytes(optimizer: torch.optim.Optimizer) -> int:
    """Bytes of all tensors in the state."""
    tensors = (value for state in optimizer.state.values() for value in state.values() if isinstance(value, Tensor))
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors)


def adafactor_memory(shapes: Sequence[tuple[int, ...]]) -> float:
    """Bytes of state and of the kernels' workspace for each byte of bf16 parameters of these shapes, on any device.

    The optimizer itself makes the state, on tensors without memory, and the workspace is as large as a launch for all
    of them makes it.
    """
    named = [
        (str(index), Parameter(torch.empty(shape, dtype=torch.bfloat16, device="meta")))
        for index, shape in enumerate(shapes)
    ]
    for _, parameter in named:
        parameter.grad = torch.empty_like(parameter)
    optimizer = fg_kernels.Adafactor(named, lr=_LEARNING_RATE)
    optimizer.step()
    folded = [shape_of(shape) for shape in shapes]
    (config, *_) = configs_of("adafactor", ARCHITECTURES[0])
    blocks = blocks_for(config.blocks, folded, few=FEW_PROGRAMS, enough=ENOUGH_PROGRAMS)
    workspace = torch.float32.itemsize * workspace_floats(folded, blocks)
    return (state_bytes(optimizer) + workspace) / sum(parameter.nbytes for _, parameter in named)


def compiled_bytes(step: str) -> dict[str, float]:
    """What the Triton kernels of a step move for each parameter, from their compiled code; nothing without Triton.

    Args:
        step: see `fg_kernels.compiling.optimizers`; "" for none.
    """
    if not step or importlib.util.find_spec("triton") is None or os.environ.get("TRITON_INTERPRET") == "1":
        return {}
    return {"compiled bytes per element": _compiled_steps()[step]}


@lru_cache(maxsize=1)
def _compiled_steps() -> dict[str, float]:
    from fg_kernels.compiling.optimizers import optimizer_traffic

    return {name: traffic.bytes for name, traffic in optimizer_traffic().items()}


def path_error(make: Make, device: torch.device) -> float:
    """Return how far along the path of fp64 an optimizer does not come, as a part of the path.

    Several updates by one gradient, the same optimizer on bf16 and on fp64 parameters: 0 is the exact path, 1 stands
    still. The mean over many elements: rounding that is right in expectation errs by little.
    """
    generator = torch.Generator().manual_seed(0)
    start = torch.randn(_PATH_SHAPE, generator=generator).bfloat16()
    gradient = torch.randn(_PATH_SHAPE, generator=generator).bfloat16()
    ends = [_trained(make, start, gradient, dtype, device) for dtype in (torch.bfloat16, torch.float64)]
    travelled, exact = (end.double() - start.double().to(device) for end in ends)
    return abs(1 - float((travelled * exact).sum() / exact.square().sum()))


def _trained(make: Make, start: Tensor, gradient: Tensor, dtype: torch.dtype, device: torch.device) -> Tensor:
    parameter = Parameter(start.to(device, dtype, copy=True))
    parameter.grad = gradient.to(device, dtype)
    optimizer = make([("weight", parameter)])
    for _ in range(_PATH_UPDATES):
        optimizer.step()
    return parameter.detach()


def _case(name: str, op: str, rule: Rule, shapes: Shapes) -> Case:
    elements = sum(map(math.prod, shapes))
    contenders = {label: partial(_work, lambda device, make=make: make, shapes) for label, make in rule.ours.items()}
    contenders["fg_kernels"] = partial(contenders["fg_kernels"], rule=rule)
    contenders |= {label: partial(_work, find, shapes) for label, find in rule.peers.items()}
    least = rule.bytes_per_parameter
    return Case(
        name=name,
        op=op,
        shape={"tensors": len(shapes), "parameters": elements},
        elements=elements,
        bytes=None if least is None else round(elements * least),
        slow_on_cpu=op == "muon",  # bf16 products of 1024 take as long as all the rest together
        contenders=contenders,
    )


def _work(
    find: Callable[[torch.device], Make], shapes: Shapes, device: torch.device, *, rule: Rule | None = None
) -> Work:
    make, named = find(device), _parameters(shapes, device)
    optimizer = make(named)

    def facts() -> dict[str, float]:
        parameters = sum(parameter.numel() for _, parameter in named)
        return {
            "path error": path_error(make, device),
            "state bytes per parameter": state_bytes(optimizer) / parameters,
            **(_facts_of(rule) if rule else {}),
        }

    return Work(run=lambda: optimizer.step(), facts=facts)


def _facts_of(rule: Rule) -> Mapping[str, float]:
    return {**compiled_bytes(rule.step), **rule.facts()}


@lru_cache(maxsize=1)
def _parameters(shapes: Shapes, device: torch.device) -> Named:
    """Weights and gradients that all contenders of a case share, so that a whole model is there once."""
    return [(f"layers.{i}.weight", _parameter(shape, device)) for i, shape in enumerate(shapes)]


def _parameter(shape: tuple[int, ...], device: torch.device) -> Parameter:
    parameter = Parameter(torch.ones(shape, dtype=torch.bfloat16, device=device))
    parameter.grad = torch.full_like(parameter, 1e-3)
    return parameter


def _both(kind: Callable[..., torch.optim.Optimizer], **options: Any) -> dict[str, Make]:
    """Ours, with and without stochastic rounding: the difference is what the noise costs."""
    return {
        "fg_kernels": partial(kind, lr=_LEARNING_RATE, **options),
        "fg_kernels, nearest": partial(kind, lr=_LEARNING_RATE, rounding="nearest", **options),
    }


def _torch(
    kind: Callable[..., torch.optim.Optimizer], **options: bool | float
) -> dict[str, Callable[[torch.device], Make]]:
    ways = ["for-loop"] if options.get("foreach") is False else [name for name in options if options[name] is True]
    label = " ".join(["torch", *ways])
    return {label: lambda device: lambda named: kind(_values(named), lr=_LEARNING_RATE, **options)}


def _transformers_adafactor(device: torch.device) -> Make:
    kind = peer("transformers.optimization").Adafactor
    options = {"lr": _LEARNING_RATE, "relative_step": False, "scale_parameter": False}
    return lambda named: kind(_values(named), **options)


def _torchao(name: str) -> Callable[[torch.device], Make]:
    def find(device: torch.device) -> Make:
        kind = getattr(peer("torchao.optim.adam", device=device), name)
        return lambda named: kind(_values(named), lr=_LEARNING_RATE, bf16_stochastic_round=True)

    return find


def _compiled(kind: Callable[..., Any]) -> dict[str, Callable[[torch.device], Make]]:
    """Our plain rule through `torch.compile`, which does not look into operations of `torch.library`.

    Rounded to nearest it is one graph of torch's own operations; rounded at random it calls our rounding, whoever
    carries that out on the device.
    """
    return {
        f"compiled reference, {label}": partial(_compiled_rule, kind, rounding)
        for label, rounding in (("nearest", "nearest"), ("our rounding", "stochastic"))
    }


def _compiled_rule(kind: Callable[..., Any], rounding: str, device: torch.device) -> Make:
    """With the update number on the device: a number would be compiled in."""
    if device.type != "cuda":
        raise Absent("is measured on CUDA devices only")

    def make(named: Named) -> torch.optim.Optimizer:
        if len(named) > 1:
            raise Absent("is measured on single matrices only: a graph of hundreds of tensors compiles for minutes")
        optimizer = kind(named, lr=_LEARNING_RATE, fused=False, capturable=True, rounding=rounding)
        optimizer.step = torch.compile(optimizer.step)
        return optimizer

    return make


def _values(named: Named) -> list[Parameter]:
    return [parameter for _, parameter in named]
