"""Constraints of every form, each beside what it says in NumPy, and dense projectors made of that."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

MODEL = """x[t]: n
h[t]: n = tanh(W @ h[t-1] + V @ x[t])
E = minimize(sum(norm2(h[t]) for t in steps))
"""
N, STEPS, BATCH = 4, 3, 2


@dataclass(frozen=True)
class Case:
    """lines: added to the model; residual: (values) -> left - right of every constraint; closed: whether a table knows its form."""

    lines: str
    residual: Callable[[dict], list]
    closed: bool = True
    constants: tuple[str, ...] = ()
    parameters: tuple[str, ...] = ("W", "V")


CASES = {
    "symmetric": Case("assert W == W.T", lambda v: [v["W"] - v["W"].T]),
    "symmetric, as a difference": Case("assert (W - transpose(W))/2 == 0", lambda v: [v["W"] - v["W"].T]),
    "antisymmetric": Case("assert W == -W.T", lambda v: [v["W"] + v["W"].T]),
    "diagonal": Case("assert diag(W) == 0.5", lambda v: [np.diag(v["W"]) - 0.5]),
    "masked": Case("M: const[n, n]\nassert M*W == 0", lambda v: [v["M"] * v["W"]], constants=("M",)),
    "fixed": Case("assert 2*W == eye(n)", lambda v: [2 * v["W"] - np.eye(N)]),
    "selected row": Case("assert W[0, :] == 0", lambda v: [v["W"][0]]),
    "selected block": Case("assert W[0:2, 1:3] == 1", lambda v: [v["W"][:2, 1:3] - 1]),
    "selected entry": Case("assert W[0, 1] == 0.3", lambda v: [v["W"][0, 1] - 0.3]),
    "summed": Case("assert sum(W) == 1", lambda v: [v["W"].sum() - 1]),
    "mean": Case("assert mean(W) == 0.1", lambda v: [v["W"].mean() - 0.1]),
    "dotted": Case("A: const[n, n]\nassert dot(W, A) == 1", lambda v: [np.sum(v["A"] * v["W"]) - 1], constants=("A",)),
    "rows": Case("assert W @ ones(n) == 1", lambda v: [v["W"].sum(axis=1) - 1]),
    "columns": Case("a: const[n]\nassert W.T @ a == 0.2", lambda v: [v["W"].T @ v["a"] - 0.2], constants=("a",)),
    "tied": Case("assert W == V", lambda v: [v["W"] - v["V"]]),
    "tied with a sign": Case("assert W == -V", lambda v: [v["W"] + v["V"]]),
    "tied transposed": Case("assert W.T == V + eye(n)", lambda v: [v["W"].T - v["V"] - np.eye(N)]),
    "tied by a factor": Case("assert W == 3*V/2", lambda v: [v["W"] - 1.5 * v["V"]]),
    "a chain of ties": Case(
        "Q: (n, n)\nassert W == V\nassert V == -Q.T\nq: n = Q @ h[T]",
        lambda v: [v["W"] - v["V"], v["V"] + v["Q"].T],
        parameters=("W", "V", "Q"),
    ),
    "tied and symmetric": Case("assert W == -V\nassert V == V.T", lambda v: [v["W"] + v["V"], v["V"] - v["V"].T]),
    "symmetric through a tie": Case("assert W == V\nassert V == W.T", lambda v: [v["W"] - v["V"], v["V"] - v["W"].T]),
    "symmetric, zero diagonal": Case("assert W == W.T\nassert diag(W) == 0", lambda v: [v["W"] - v["W"].T, np.diag(v["W"])]),
    "symmetric, with a sum": Case("assert W == W.T\nassert sum(W) == 1", lambda v: [v["W"] - v["W"].T, v["W"].sum() - 1]),
    "mask and diagonal": Case(
        "M: const[n, n]\nassert W*M == 0\nassert diag(W) == 0", lambda v: [v["M"] * v["W"], np.diag(v["W"])], constants=("M",)
    ),
    "said twice": Case("assert W == W.T\nassert W.T == W", lambda v: [v["W"] - v["W"].T]),
    "two parameters": Case("assert W == W.T\nassert diag(V) == 0", lambda v: [v["W"] - v["W"].T, np.diag(v["V"])]),
    "symmetric mask": Case(
        "M: const[n, n]\nassert W == W.T\nassert W*M == 0", lambda v: [v["W"] - v["W"].T, v["M"] * v["W"]], False, ("M",)
    ),
    "symmetric, zero diagonal and sum": Case(
        "assert W == W.T\nassert diag(W) == 0\nassert sum(W) == 1",
        lambda v: [v["W"] - v["W"].T, np.diag(v["W"]), v["W"].sum() - 1],
        False,
    ),
    "sums of two": Case("assert W @ ones(n) == V.T @ ones(n)", lambda v: [v["W"].sum(axis=1) - v["V"].sum(axis=0)], False),
    "product with a constant": Case("A: const[n, n]\nassert A @ W == V", lambda v: [v["A"] @ v["W"] - v["V"]], False, ("A",)),
    "derived": Case("S: (n, n) = (W + V.T)/2\nassert diag(S) == 0.1", lambda v: [np.diag(v["W"] + v["V"].T) / 2 - 0.1], False),
    "reshaped": Case("assert reshape(W, n*n) == reshape(V.T, n*n)", lambda v: [v["W"] - v["V"].T], False),
    "Kronecker product": Case(
        "a: const[n]\nassert kron(a, W[0, :]) == 2*reshape(V, n*n)",
        lambda v: [np.kron(v["a"], v["W"][0]) - 2 * v["V"].ravel()],
        False,
        ("a",),
    ),
    "padded and joined": Case(
        "assert concat(W[0, :], V[:, 1])[1:n+2] == pad(W[1, 0:2], 1, n + 1)",
        lambda v: [np.concatenate([v["W"][0], v["V"][:, 1]])[1 : N + 2] - np.array([0, *v["W"][1, :2], 0, 0])],
        False,
    ),
}  # fmt: skip


def text(case: Case) -> str:
    """The model with the case's constraints."""
    return MODEL + case.lines + "\n"


def values(case: Case, seed: int = 0) -> dict[str, np.ndarray]:
    """Random values, masks with zeros, that satisfy no constraint."""
    rng = np.random.default_rng(seed)
    found = {name: 0.5 * rng.standard_normal((N, N)) for name in case.parameters}
    found |= {"x": rng.standard_normal((STEPS, BATCH, N)), "h[0]": rng.standard_normal((BATCH, N))}
    for name in case.constants:
        found[name] = rng.standard_normal(N) if name.islower() else rng.standard_normal((N, N)) * rng.integers(0, 2, (N, N))
    return found


def vector(case: Case, arrays: dict) -> np.ndarray:
    """The parameters after one another."""
    return np.concatenate([np.ravel(arrays[name]) for name in case.parameters])


def system(case: Case, given: dict) -> tuple[np.ndarray, np.ndarray]:
    """A and c of A θ = c, column by column."""

    def residual(theta: np.ndarray) -> np.ndarray:
        parts = dict(zip(case.parameters, theta.reshape(-1, N, N), strict=True))
        return np.concatenate([np.ravel(part) for part in case.residual({**given, **parts})])

    size = len(case.parameters) * N * N
    offset = residual(np.zeros(size))
    return np.array([residual(unit) - offset for unit in np.eye(size)]).T, -offset


def projector(case: Case, given: dict) -> np.ndarray:
    """I - A⁺A."""
    matrix, _ = system(case, given)
    return np.eye(matrix.shape[1]) - np.linalg.pinv(matrix) @ matrix


def moved(case: Case, given: dict) -> dict[str, np.ndarray]:
    """The values with parameters on the constraints."""
    matrix, right = system(case, given)
    theta = vector(case, given)
    theta = theta - np.linalg.pinv(matrix) @ (matrix @ theta - right)
    return {**given, **dict(zip(case.parameters, theta.reshape(-1, N, N), strict=True))}
