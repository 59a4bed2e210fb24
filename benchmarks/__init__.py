"""Benchmarks: every claim on speed and memory, each against a baseline in the same run."""
