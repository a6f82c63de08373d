"""Injects faults at random moments of real jobs on a real stack, and checks the results with a ledger."""
