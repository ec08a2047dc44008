"""Bases: where the model comes from that training starts with. One file each; `_base.py` is their protocol."""
