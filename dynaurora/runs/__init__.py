"""Runs: backfills and reprocesses, from their request to their report."""
