"""The life of a member: it joins, renews itself, and follows what the issuer tells.

`joining` happens once, with a token, over an `issuer_connection` that trusts nobody yet. From then on the `keeper` of
each server sees to `renewal` and to the bulletins of the issuer, by the questions of `asking`.
"""
