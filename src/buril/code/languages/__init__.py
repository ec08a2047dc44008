"""The languages: one file each, facts and no code."""
