"""AWS's services: calls, their errors translated, and what answers CloudFormation."""
