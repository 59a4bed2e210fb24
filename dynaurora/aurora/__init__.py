"""Aurora's side: connections, credentials, statements and the system tables."""
