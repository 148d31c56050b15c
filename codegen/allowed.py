"""Allowed: the sparse matrix of a linear system -> projections onto the directions that it allows, exact to rounding.

The matrix falls apart into the connected parts of its rows and columns, of which a symmetric matrix has one for each
pair of entries. Small parts of one size are decomposed together, and those that are alike once; the largest are solved
by iteration. Singular values at rounding level count as zero, so that constraints may be redundant.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

WIDEST = 500  # columns of a part that is still decomposed
PASSES = 8  # of refinement where a part is solved by iteration
ROUNDING = 64 * np.finfo(np.float64).eps
SETTLED = 1e-14  # what is left of a vector, as a share of it


def _settled(vector: np.ndarray, start: np.ndarray) -> np.ndarray:
    """The vectors (along the last axis) without what is rounding beside those that they were made from."""
    return np.where(np.abs(vector) > ROUNDING * np.max(np.abs(start), axis=-1, keepdims=True), vector, 0.0)


@dataclass(frozen=True, slots=True)
class Parts:
    """Connected parts of one size: rows (k, r) and columns (k, c), which of the decompositions (u, …) each has.

    inverse: (u, c, r), the pseudo-inverse; span: (u, c, c), the projector onto what the rows span.
    """

    rows: np.ndarray
    columns: np.ndarray
    kind: np.ndarray
    inverse: np.ndarray
    span: np.ndarray


class Allowed:
    """The directions x with A x = 0, for A (rows, columns) in SciPy's compressed rows."""

    def __init__(self, matrix: Any) -> None:
        from scipy.sparse import dia_array

        matrix.sum_duplicates()
        matrix.eliminate_zeros()
        norms = np.sqrt(matrix.power(2).sum(axis=1))
        self.weights = np.where(norms > 0, 1 / np.where(norms > 0, norms, 1), 0.0)
        count = matrix.shape[0]
        self.matrix = matrix
        self.scaled = dia_array((self.weights[None], [0]), shape=(count, count)).tocsr() @ matrix
        self.parts: list[Parts] = []
        self.wide: list[tuple[np.ndarray, np.ndarray, Any]] = []
        self._split()

    def project(self, vector: np.ndarray) -> np.ndarray:
        """The allowed vector nearest to a real or complex one: x - A⁺A x."""
        if np.iscomplexobj(vector):
            return self.project(vector.real) + 1j * self.project(vector.imag)
        out = vector.astype(np.float64)
        for part in self.parts:
            held = out[part.columns]
            out[part.columns] = _settled(held - np.einsum("kij,kj->ki", part.span[part.kind], held), held)
        for _, columns, inner in self.wide:
            held = out[columns]
            out[columns] = _settled(held - self._iterate(inner, inner @ held), held)
        return out

    def least(self, right: np.ndarray) -> np.ndarray:
        """A⁺ r: the smallest x that brings A x nearest to r."""
        weighted = self.weights * right
        out = np.zeros(self.scaled.shape[1])
        for part in self.parts:
            out[part.columns] = np.einsum("kij,kj->ki", part.inverse[part.kind], weighted[part.rows])
        for rows, columns, inner in self.wide:
            out[columns] = self._iterate(inner, weighted[rows])
        return out

    # -- parts

    def _split(self) -> None:
        from scipy.sparse import coo_array
        from scipy.sparse.csgraph import connected_components

        entries = self.scaled.tocoo()
        if not entries.nnz:
            return
        count = self.scaled.shape[0]
        total = sum(self.scaled.shape)
        links = coo_array((np.ones(entries.nnz), (entries.row, entries.col + count)), shape=(total, total))
        found, label = connected_components(links.tocsr(), directed=False)
        rows, tall = self._sorted(entries.row, label[:count], found)
        columns, across = self._sorted(entries.col, label[count:], found)
        starts = np.cumsum(tall) - tall, np.cumsum(across) - across
        for r, c in sorted({*zip(tall.tolist(), across.tolist(), strict=True)} - {(0, 0)}):
            chosen = np.flatnonzero((tall == r) & (across == c))
            self._decompose(rows[starts[0][chosen, None] + np.arange(r)], columns[starts[1][chosen, None] + np.arange(c)])

    @staticmethod
    def _sorted(used: np.ndarray, label: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
        """The rows (or columns) that hold entries, in order of their parts, and how many each part has."""
        held = np.flatnonzero(np.bincount(used, minlength=len(label)))
        home = label[held]
        return held[np.argsort(home, kind="stable")], np.bincount(home, minlength=count)

    def _decompose(self, rows: np.ndarray, columns: np.ndarray) -> None:
        """Parts of one size: rows (k, r), columns (k, c)."""
        if columns.shape[1] > WIDEST or rows.shape[1] > 4 * WIDEST:
            self.wide += [(r, c, self.scaled[r][:, c]) for r, c in zip(rows, columns, strict=True)]
            return
        blocks = self._blocks(rows, columns)
        distinct, kind = blocks[:1], np.zeros(len(blocks), np.intp)
        if not np.array_equal(blocks, np.broadcast_to(distinct, blocks.shape)):
            alike, kind = np.unique(blocks.reshape(len(blocks), -1), axis=0, return_inverse=True)
            distinct = alike.reshape(-1, *blocks.shape[1:])
        left, size, right = np.linalg.svd(distinct, full_matrices=False)
        least = max(blocks.shape[1:]) * np.finfo(np.float64).eps * size[:, :1]
        held = size > least
        across = right.swapaxes(1, 2)
        inverse = (across * np.where(held, 1 / np.where(held, size, 1), 0.0)[:, None]) @ left.swapaxes(1, 2)
        span = (across * held[:, None]) @ right
        self.parts.append(Parts(rows, columns, kind.ravel(), inverse, span))

    def _blocks(self, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
        place, across = np.zeros(self.scaled.shape[0], np.intp), np.zeros(self.scaled.shape[1], np.intp)
        place[rows], across[columns] = np.arange(rows.shape[1]), np.arange(columns.shape[1])
        home = np.zeros(self.scaled.shape[0], np.intp)
        home[rows] = np.arange(len(rows))[:, None]
        entries = self.scaled[rows.ravel()].tocoo()
        origin = rows.ravel()[entries.row]
        blocks = np.zeros((len(rows), rows.shape[1], columns.shape[1]))
        blocks[home[origin], place[origin], across[entries.col]] = entries.data
        return blocks

    @staticmethod
    def _iterate(matrix: Any, right: np.ndarray) -> np.ndarray:
        """The smallest x that brings a wide part's product nearest to a vector, refined until nothing is gained."""
        from scipy.sparse.linalg import lsmr

        out, left = np.zeros(matrix.shape[1]), right
        size = float(np.linalg.norm(right))
        for _ in range(PASSES):
            step = lsmr(matrix, left, atol=1e-15, btol=1e-15, conlim=0, maxiter=20 * max(matrix.shape))[0]
            out = out + step
            before, left = float(np.linalg.norm(left)), right - matrix @ out
            if not SETTLED * size < float(np.linalg.norm(left)) < 0.5 * before:
                break
        return out
