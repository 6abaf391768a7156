"""Connections to our servers, and why one fails.

`connections` is what programs call. Each connection trusts the authorities that this host trusts at that moment
(`following`), and carries what may go to its origin (`origins`), by httpx (`transport`) or by `http.client`
(`peer_connection`). `failures` says in one sentence what went wrong, and `doctor` finds out more by trying (`probing`).
"""
