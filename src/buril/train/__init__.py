"""Base models, methods, objectives and the training loop."""
