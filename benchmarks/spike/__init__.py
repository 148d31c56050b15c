"""Spike: one LSTM with its full gradient, from hand-made templates, to find what the code generator must express.

Input: a `Variant` (template choices) and arrays. Output: a table of times, shares of peak and ratios.
"""
