"""DynamoDB's side: attributes, changes and their versions, tables and streams."""
