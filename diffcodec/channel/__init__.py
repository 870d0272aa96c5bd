"""Gaussian samples <-> bits: reverse-channel coding (DiffC, arXiv 2206.08889, §2) over counter-based noise."""
