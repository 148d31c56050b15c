"""The value of a printed formula: boxes -> numbers, by what the signs mean to a reader and nothing else."""

from __future__ import annotations

from functools import reduce

import numpy as np

from derive.sections.boxes import Box, Call, Circled, Fence, Fraction, Glyph, Listing, Name, Row, Script, Terms, Whole


def product(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Side by side: a matrix product, or one with a number."""
    return left * right if not (np.ndim(left) and np.ndim(right)) else left @ right


def value(box: Box, at: dict[tuple[str, int | None], np.ndarray], sizes: dict[str, int]) -> np.ndarray:
    """The value of a box. at: by name and step (None where there is none)."""

    def of(inner: Box) -> np.ndarray:
        return value(inner, at, sizes)

    match box:
        case Whole(body) | Fence(body):
            return of(body)
        case Name(name):
            return np.asarray(at[name, None] if (name, None) in at else sizes[name])
        case Glyph(text):
            return np.asarray(float(text.replace("−", "-")))
        case Call(Name(name), (Glyph(text),)):
            return at[name, int(text.replace("−", "-"))]
        case Call(Script(base, sub, None), arguments):
            return of(Call(base, arguments))[index(sub, of)]
        case Call(Glyph("diag"), (inner,)):
            return np.diag(of(inner))
        case Call(Glyph("sum"), (inner,)):
            return np.sum(of(inner))
        case Call(Glyph(name), (inner,)):
            return getattr(np, name)(of(inner))
        case Script(base, None, Glyph("ᵀ")):
            return np.transpose(of(base))
        case Script(base, None, power):
            return of(base) ** of(power)
        case Script(base, sub, None):
            return of(base)[index(sub, of)]
        case Row(parts):
            return reduce(product, map(of, parts))
        case Circled(parts):
            return reduce(np.multiply, map(of, parts))
        case Fraction(top, bottom):
            return of(top) / of(bottom)
        case Terms(entries):
            return sum(-of(term) if negative else of(term) for negative, term in entries)
    raise AssertionError(f"no value for {box}")


def index(sub: Box, of) -> tuple:
    match sub:
        case Listing((Glyph("·"), Listing((start, stop), ":"))):
            return slice(None), slice(int(of(start)), int(of(stop)))
        case Listing(parts, ","):
            return tuple(int(of(part)) for part in parts)
    return (int(of(sub)),)
