"""This project's CGN for images of 32 or 64 pixels."""
