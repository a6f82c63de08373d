"""`make soak`: the generator under mixed load and faults, with a ledger of every response."""
