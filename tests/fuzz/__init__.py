"""Invalid input for both servers: requests generated from the protos' descriptors, and raw bytes."""
