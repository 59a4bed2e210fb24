"""The operator's command line, `dynaurora`."""
