"""The digits that the repository ships, and how they were chosen."""
