"""Tokens: the vocabulary, and packed sequences of its ids that know which rows they came from."""
