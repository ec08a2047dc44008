"""Serving: what stands between an editor and a model."""
