"""Runs as the commands show them: found, started, followed, described."""
