"""Sandboxes: what runs code that nobody has read. One plugin a file; the protocol is in `_sandbox.py`."""
