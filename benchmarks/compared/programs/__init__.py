"""Programs that are compared with: each runs by itself, with the Python of its own environment."""
