"""Linting: all that is wrong with a mapping's file, or doubtful, told at once."""
