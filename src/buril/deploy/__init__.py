"""What a cluster or a container needs to serve a model, written from the model itself."""
