"""Replicate DynamoDB tables into Aurora MySQL. The package's map is in the README."""

__version__ = "0.2.0.dev0"
