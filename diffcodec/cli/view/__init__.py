"""The page of `diffcodec view`, and small pictures of streams: what the eye needs, and NumPy with it."""
