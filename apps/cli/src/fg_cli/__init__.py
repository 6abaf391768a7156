"""The `forgather` command: finds the distribution that has a verb, and hands over."""

from fg_cli.__about__ import __version__ as __version__

__all__ = ["__version__"]
