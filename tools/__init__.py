"""What maintains the repository and trains its models: `python -m tools.fuzz` from the root. README.md lists all."""
