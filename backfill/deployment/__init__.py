"""The deployment that the commands speak to: found, asked, diagnosed."""
