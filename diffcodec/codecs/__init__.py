"""A model + entropy coding -> passes of bytes, and back."""
