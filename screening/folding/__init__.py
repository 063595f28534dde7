"""The fold over committed blocks: moments, effects, and the scores of single shards."""
