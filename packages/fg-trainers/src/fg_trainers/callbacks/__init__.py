"""Callbacks: small objects that watch the loop. Each module holds one."""
