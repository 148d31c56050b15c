"""Benchmarks: kernels beside their peers; results are compared before anything is timed."""
