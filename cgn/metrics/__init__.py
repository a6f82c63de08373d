"""Measures of a CGN's pictures and masks, each with its source."""
