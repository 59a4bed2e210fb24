"""Verification: whether the items of a table and its rows are equal, and which are not, and why."""
