"""The host of the authority: its books, what it signs, and what it tells the members."""

from __future__ import annotations

from typing import Final

ISSUER_PORT: Final = 8767  # where an issuer listens unless it is told otherwise
