"""Whether two texts of a pair do the same on ordinary inputs, and what an attacker can make of each."""
