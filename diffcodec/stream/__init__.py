"""A signal <-> a container: a stream parsed once, a stream written, and the codecs at work on either side."""
