"""Fast forms of convolutions and layers for serving. You need not read them to understand a CGN."""
