"""Objectives of training: what is minimised. One file an objective; `_objective.Objective` is what one must have."""
