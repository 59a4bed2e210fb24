"""Exports: checked, planned, converted, accounted for."""
