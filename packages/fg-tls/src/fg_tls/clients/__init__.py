"""Connections to our servers, and why one fails."""
