"""From a campaign file to what is asked and planned, checked against the models."""
