"""The pages: readers of the files that a chain left, never owners of a run."""
