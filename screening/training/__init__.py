"""Training and adapting models, from a file to a checkpoint."""
