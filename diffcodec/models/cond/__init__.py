"""A denoiser that may be given a picture: in small, grey, with holes, as a JPEG (SR3, CDM, Palette)."""
