"""Benchmarks: each measures ratios against a peer in the same run and leaves a JSON file."""
