"""The status page: what the commands tell, for a browser on this machine, read-only."""
