"""One script per claim: `python -m benchmarks.claims.bombs` from the repository's root. README.md lists all."""
