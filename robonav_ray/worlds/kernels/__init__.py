"""What a world computes in a step: Numba kernels over (world, robot), and the columns that they share (``layout``)."""
