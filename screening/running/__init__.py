"""A run of a screen: who computes what where, who watches, and what is left in the store."""
