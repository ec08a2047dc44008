"""Methods of training: what of a model is trained. One file a method; `Lora` and `Full` show what one must have."""
