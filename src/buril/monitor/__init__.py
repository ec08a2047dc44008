"""What is asked of a served model and what becomes of its answers, against what it learnt from."""
