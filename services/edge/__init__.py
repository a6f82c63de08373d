"""The layer between the network and every server's handlers: TLS, callers and roles, limits, traces."""
