"""Measuring: what operations move, hold, cost and get wrong, beside their peers and on this machine.

`traffic`, `memory` and `accuracy` work anywhere; times and fractions of a machine's peaks mean something on a GPU.
"""
