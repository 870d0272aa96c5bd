"""What a signal is: its samples, modes and metadata."""
