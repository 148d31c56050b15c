"""Commands of the command line, a module for each group of them; none imports SymPy, Cython or NumPy until it runs."""
