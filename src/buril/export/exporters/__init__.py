"""Exporters, one file each: what writes a model in a format, and opens what it wrote with the engine that reads it."""
