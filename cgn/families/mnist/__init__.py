"""This project's CGN for images with 32 or 64 pixels a side."""
