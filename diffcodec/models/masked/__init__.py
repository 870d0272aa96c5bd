"""The order-agnostic U-Net: in floats to train, in integers to code."""
