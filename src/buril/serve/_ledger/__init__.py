"""The parts of the ledger; `buril.serve.ledger` is what others use."""
