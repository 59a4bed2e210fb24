"""The target of a mapping: prepared, checked, compared with its source."""
