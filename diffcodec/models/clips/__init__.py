"""Denoisers of clips: all frames of a stretch at once (Video Diffusion Models, arXiv 2204.03458)."""
