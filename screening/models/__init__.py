"""One model at hand: its cells, its representation, its description, its card."""
