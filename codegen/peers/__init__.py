"""Peers: JAX and PyTorch computing the same recurrence, from source made of its Program. Of the rest, only the command `bench` does."""
