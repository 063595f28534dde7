"""The front of the house: joins model, campaigns and actors into screens, results and the command line."""
