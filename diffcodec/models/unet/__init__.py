"""The U-Net of the diffusion models: in floats and in integers."""
