"""Engines: where the work on shards is done. One file an engine; its name is the name in `engine:` of the YAML."""
