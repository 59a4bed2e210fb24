"""What replication costs: quantities of what is billed, from measured figures and settings."""
