"""Judging models on held-out real cells."""
