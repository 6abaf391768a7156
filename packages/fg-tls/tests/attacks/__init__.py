"""Attacks on a served application, over real sockets."""
