"""Suites: one kind of examination a file."""
