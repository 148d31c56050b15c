"""A seeded generator of recurrences over the whole language, with random values for them.

vocabulary: sizes, windows, functions; forms: one row for each form of expression; expressions: rows put together by shape and place;
statements: one function for each form of statement; constraints: asserts; files: a whole file; values: arrays for it.
"""

from generator.files import Generated, generate, merged
from generator.values import draw
from generator.vocabulary import DIMS, SIZES

__all__ = ["DIMS", "SIZES", "Generated", "draw", "generate", "merged"]
