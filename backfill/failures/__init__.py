"""Failures as the commands show them: read, judged again, counted, described."""
