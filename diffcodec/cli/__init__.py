"""The command `diffcodec`."""
