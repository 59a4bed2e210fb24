"""The terminal: what is printed, and how."""
