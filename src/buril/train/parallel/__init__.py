"""Training by several processes: one machine's, started here, or many machines', started by `torchrun` and its kin."""
