"""What stands between a socket and an application: protocols, guard, tokens, and who may call what."""
