"""ARDM (arXiv 2110.02037): lossless, over the 2x lattice or in any order."""
