"""The rows of the table of media: what a header says of a signal of each. NumPy waits until samples are made."""
