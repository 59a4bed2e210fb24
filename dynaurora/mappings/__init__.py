"""Mappings: documents, columns, and what turns changes into rows of CSV."""
