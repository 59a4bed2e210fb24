"""The product beside what people would use instead, on one set of items: `make compare` writes docs/compared.md."""
