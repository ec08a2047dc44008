"""Preferences: what makes a model prefer one text of a pair to the other, one file each."""
