"""Metrics: one score a file."""
