"""Completing: what a model's raw text must go through before a person sees it: one implementation for all who ask."""
