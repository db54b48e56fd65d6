"""Faults of the machines the service runs on, each made on purpose, with real processes."""
