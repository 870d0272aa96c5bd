"""What every layer stands on: threads, compiled kernels, decimals, and the net under hostile bytes."""
