"""The lattice ARDM's network: in floats to train, in integers to code."""
