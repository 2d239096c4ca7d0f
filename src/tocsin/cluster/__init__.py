"""Several instances as one system: what they say to each other, and the loops that carry it."""
