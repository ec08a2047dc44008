"""Augmenters: what makes another training text of a file. One file each; `buril.data.augmenter` is their protocol."""
