"""Faults at random moments of real jobs on a real stack, and the ledger that has to balance after all."""
