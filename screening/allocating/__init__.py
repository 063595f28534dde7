"""Which conditions get more shards."""
