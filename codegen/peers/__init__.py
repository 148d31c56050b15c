"""Peers: JAX and PyTorch computing the same recurrence, from source made of its Program. The rest of the package never imports this."""
