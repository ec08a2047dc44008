"""What the scanner `injection` is made of: text as a model reads it, rules as data, and where an instruction stands."""
