"""JPEG files as what is known of a picture: their quantised coefficients, and the pictures that agree with these."""
