"""Runtimes: how programs of a language are tested; one file each. Plugins of the kind `runtime`."""
