"""What to make of hits: evidence, comparison with another campaign, what to measure next."""
