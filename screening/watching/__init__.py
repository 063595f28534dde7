"""How a run is getting on: shown, told as events, measured, and followed from elsewhere."""
