"""From scores to hits: the null, posteriors, e-values, decisions, the ranked table."""
