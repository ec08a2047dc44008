"""Trackers: where the curves of a training are sent. One file a tracker; `_tracker.Tracker` is what one must have."""
