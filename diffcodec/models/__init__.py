"""What codecs code with: protocols, a base for providers, the bundled networks, and where models are found."""
