"""What stands between a socket and an application: protocols, guard, tokens, and who may call what.

`access` declares who may call a route, and `guard` holds every request to it: by `hosts`, `tokens`, the certificates of
`peers`, and the `throttle`. Below it `protocol`, `pace` and `limits` see to clients that break or stall a connection,
and `server` to beginning and end; `binding` and `handover` are about the socket. `fg_tls.serving` puts them together.
"""
