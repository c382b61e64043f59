"""A league around a training loop of one's own."""
