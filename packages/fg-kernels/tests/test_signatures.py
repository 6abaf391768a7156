"""Functions and their references are called alike."""

import inspect

import pytest

from fg_kernels import functional, reference

FUNCTIONS = [name for name in functional.__all__ if inspect.isfunction(getattr(functional, name))]


def parameters(function, without=()):
    found = inspect.signature(function).parameters.values()
    return [(each.name, each.kind, each.default, each.annotation) for each in found if each.name not in without]


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_function_takes_what_its_reference_does_and_how_to_compute_it(name):
    """Who computes, and where gradients are written, are no matter of a definition in plain torch."""
    ours = parameters(getattr(functional, name), without=("backend", "inplace_backward"))
    assert ours == parameters(getattr(reference, name))


def test_everything_has_a_reference():
    assert set(functional.__all__) == set(reference.__all__)
    assert {"linear_cross_entropy", "cross_entropy_", "swiglu", "rms_norm"} <= set(FUNCTIONS)
