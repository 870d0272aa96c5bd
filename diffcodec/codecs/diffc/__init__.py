"""DiffC (arXiv 2206.08889): lossy at any rate, progressive, by reverse-channel coding."""
