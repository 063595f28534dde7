"""Further tables beside the ranked one, each an answer to one more question."""
