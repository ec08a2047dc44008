"""The data stages: collect, dedup, prepare, select, split."""
