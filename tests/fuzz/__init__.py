"""Bad input for both servers: made from the protos' own descriptors, and raw bytes on their ports."""
