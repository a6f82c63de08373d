"""One package per gRPC server, and what every server shares."""
