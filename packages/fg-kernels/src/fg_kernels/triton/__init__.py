"""Triton kernels, one file for each idea: device functions, kernels, and the functions that launch them.

House rules, so that one source is right on a GPU, under the interpreter and compiled ahead of time:

* Values are raised to fp32 when loaded; nothing is computed in bf16 (the interpreter keeps bf16 as raw bits).
* Rounding to bf16 is our own (`rounding.py`), on the bits: results are equal on every backend, NaN included.
* No `triton.autotune`: block sizes are arguments, and come from the table in `configs.json`.
* Sums over programs go through memory in a fixed order, never through atomics: a run repeats bit for bit.
* No program waits for another.
* Launches turn floating point fusion off, so that `a * b + c` rounds as it does in torch.

Nothing outside this package imports it before `fg_kernels.dispatch` has chosen it.
"""
