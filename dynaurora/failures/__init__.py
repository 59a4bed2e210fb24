"""Failures: records and batches that are kept, taken up again, and settled."""
