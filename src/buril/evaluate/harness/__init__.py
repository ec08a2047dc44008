"""EleutherAI's lm-evaluation-harness: its tasks run on our generators, our tasks run by it, its results read.

`lm_eval` is imported by the private modules alone, which are imported where they are used.
"""
