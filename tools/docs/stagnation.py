"""The picture of a bf16 weight that updates do not move: `python -m tools.docs.stagnation`.

What is drawn is computed here, by the optimizer itself.
"""

from __future__ import annotations

import matplotlib

matplotlib.use("svg")

import torch
from matplotlib import pyplot
from torch.nn import Parameter

from fg_kernels import AdamW
from tools.workspace import load_workspace

UPDATES, LEARNING_RATE, WEIGHTS = 300, 4e-6, 4096


def path_of_mean(dtype: torch.dtype, rounding: str) -> list[float]:
    """The mean of weights that begin at 1 and are all pushed down by AdamW."""
    parameter = Parameter(torch.ones(WEIGHTS, dtype=dtype))
    parameter.grad = torch.ones_like(parameter)
    optimizer = AdamW([("weight", parameter)], lr=LEARNING_RATE, weight_decay=0.0, rounding=rounding)
    means = [1.0]
    for _ in range(UPDATES):
        optimizer.step()
        means.append(float(parameter.detach().double().mean()))
    return means


def draw(target: str) -> None:
    """Draw the exact path and both roundings into an SVG without a date, so that it is the same every time."""
    matplotlib.rcParams.update({"svg.hashsalt": "stagnation", "font.size": 10})
    figure, axes = pyplot.subplots(figsize=(6.4, 3.2), layout="constrained")
    axes.plot(path_of_mean(torch.float64, "nearest"), color="0.6", linewidth=4, label="exact (fp64)")
    axes.plot(path_of_mean(torch.bfloat16, "stochastic"), color="C0", label="bf16, stochastic rounding")
    axes.plot(path_of_mean(torch.bfloat16, "nearest"), color="C3", label="bf16, rounding to nearest")
    axes.set(xlabel="update", ylabel=f"mean of {WEIGHTS} weights", title=f"AdamW, learning rate {LEARNING_RATE:g}")
    axes.ticklabel_format(useOffset=False)
    axes.legend(frameon=False)
    figure.savefig(target, format="svg", metadata={"Date": None})


if __name__ == "__main__":
    draw(str(load_workspace().root / "docs" / "images" / "stagnation.svg"))
