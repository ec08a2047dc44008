"""Evaluate: examines models on held-out data and on tasks, with intervals and paired differences."""
