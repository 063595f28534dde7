"""Results, written and read again."""
