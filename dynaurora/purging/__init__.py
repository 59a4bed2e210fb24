"""What no import needs any more: how old that is, and that it is deleted."""
