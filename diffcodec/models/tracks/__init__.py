"""Tracks of many agents: what each saw of itself and of the others, and what it will do next, in whole numbers."""
