"""Sources of vulnerable/secure pairs, one file each."""
