"""Denoisers of pictures that may be told in words what is in them (Imagen, arXiv 2205.11487)."""
