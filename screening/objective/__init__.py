"""What makes a condition a good one: signatures, populations, profiles."""
