"""Variance-preserving Gaussian diffusion in log-SNR: the mathematics, in the papers' symbols. Knows no network."""
