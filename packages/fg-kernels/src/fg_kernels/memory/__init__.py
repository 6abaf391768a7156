"""Training in less memory than the usual order of things needs."""

from fg_kernels.memory.in_backward import OptimizerInBackward

__all__ = ["OptimizerInBackward"]
