"""Variational diffusion models (arXiv 2107.00630) with bits-back coding: many pictures as one chain."""
