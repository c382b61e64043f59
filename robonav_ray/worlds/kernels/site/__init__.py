"""What worlds in maps, and robots with bodies of their own, do otherwise: kernels that look up ``Params.site``."""
