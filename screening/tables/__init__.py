"""Hits where people work: a Delta table of several campaigns, rows picked by an expression, copies in a folder."""
