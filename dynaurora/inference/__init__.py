"""Inference: what items are like, and the mapping that takes them."""
