"""Generators: what writes and scores text with a model. One file each; `_generator.py` is their protocol."""
