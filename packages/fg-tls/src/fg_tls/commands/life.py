"""`forgather tls revoke` and `rotate-ca`: the end of a certificate, and of an authority."""

from __future__ import annotations

from fg_tls.commands.action import Action

ACTIONS: dict[str, Action] = {}
