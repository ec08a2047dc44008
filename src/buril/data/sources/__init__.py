"""The sources of code: one file each."""
