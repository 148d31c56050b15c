"""Independent references for the stock recurrences: NumPy and JAX, sharing nothing with the package under test."""
