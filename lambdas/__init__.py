"""The Lambda functions, one file each."""
