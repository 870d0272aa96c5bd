"""The adaptive context coder: planes without a network."""
