"""The life of a member: it joins, renews itself, and follows what the issuer tells.

`joining` happens once, with a token, over an `issuer_connection` that trusts nobody yet. From then on `upkeep`
sees to `renewal` and to the bulletins of the issuer, by the questions of `asking`: the `keeper` of each server calls it
all the time, and where no server runs, whoever connects.
"""
