"""Steps: what `prepare` does to each row. One file a step."""
