"""Batches: what one import applies, and its row in the ledger."""
