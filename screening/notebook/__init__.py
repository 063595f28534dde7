"""What `import screening` offers in a notebook."""
