"""Derivation: recurrences as equations, and their gradients as equations.

Names are imported when first used, so that `import derive` costs nothing where SymPy is not needed.
"""

from __future__ import annotations

from importlib import import_module

_HOMES = {
    "load": "language",
    "parse": "language",
    "Builder": "builder",
    "Recurrence": "recurrence",
    "RecurrenceError": "errors",
    "Derivation": "derivation",
    "gradient": "adjoint",
    "pullback": "adjoint",
    "tangent": "tangents",
    "jacobian_product": "products",
    "hessian_product": "products",
    "gauss_newton_product": "gauss_newton",
    "prove": "proof",
    "sensitivities": "realtime",
    "unfold": "unfolding.paths",
    "stock_names": "files",
    "import_weights": "weights",
    **dict.fromkeys(("t", "T", "steps", "sum_over", "within", "reshape"), "operators"),
}
_PRESENTED = ("load", "parse", "Builder", "Recurrence", "Derivation", "gradient", "pullback", "sensitivities", "unfold")
_FUNCTIONS = frozenset(
    "tanh sigmoid relu softplus exp log sqrt sin cos abs sign erf gelu atan minimum maximum".split()
)
_TEMPORAL = {"each": "Each"}
_FLATTENING = {"kron": "Kron"}
_ARRAYS = {
    "softmax": "Softmax", "log_softmax": "LogSoftmax", "logsumexp": "LogSumExp", "sum": "Sum", "mean": "Mean", "dot": "Dot",
    "norm2": "Norm2", "outer": "Outer", "concat": "Concat", "diag": "Diag", "cross_entropy": "CrossEntropy", "layer_norm": "LayerNorm",
}  # fmt: skip

__all__ = sorted({*_HOMES, *_FUNCTIONS, *_ARRAYS, *_TEMPORAL, *_FLATTENING})


def __getattr__(name: str) -> object:
    if name in _FUNCTIONS:
        return import_module("derive.operators").elementwise(name)
    if name in _ARRAYS:
        return getattr(import_module("derive.arrays"), _ARRAYS[name])
    if name in _FLATTENING:
        return getattr(import_module("derive.flattening"), _FLATTENING[name])
    if name in _TEMPORAL:
        return getattr(import_module("derive.temporal"), _TEMPORAL[name])
    if name not in _HOMES:
        raise AttributeError(f"module 'derive' has no attribute {name!r}")
    if name in _PRESENTED:
        import_module("derive.presentation")
    return getattr(import_module(f"derive.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return __all__
