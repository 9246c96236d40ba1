"""A table of misbehaving notebooks, and what an honest judge says of each."""
