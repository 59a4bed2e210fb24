"""Templates of the deployment, and what builds the package that they deploy."""
