"""The stream: changes forwarded to Firehose, and mapped there."""
