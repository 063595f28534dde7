"""A first campaign from a file of cells."""
