"""The overview: how replications stand, as one look at AWS and at the database tells, and what is to be done."""
