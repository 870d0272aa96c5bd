"""Denoisers in the latents of a small autoencoder (Latent Diffusion Models, arXiv 2112.10752)."""
