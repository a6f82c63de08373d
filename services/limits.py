"""Limits that every server of this project shares."""

# The default of gRPC receivers, so that every stock client can read our messages.
MAX_MESSAGE_BYTES = 4 * 1024 * 1024
