"""Code generation: recurrences to compiled, checked kernels.

Names are imported when first used, so that a cached kernel loads with neither SymPy nor Cython.
"""

from __future__ import annotations

from importlib import import_module

_HOMES = {
    "compile": "driver",
    "CompilerWarning": "driver",
    "Kernel": "kernel",
    "Run": "run",
    "Stream": "stream",
    "check": "checking",
    "Report": "report",
    "Cache": "cache",
    "CacheWarning": "cache",
    "BuildError": "build",
    "ConvergenceError": "convergence",
    "generate": "standalone",
}

__all__ = sorted(_HOMES)


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module 'codegen' has no attribute {name!r}")
    return getattr(import_module(f"codegen.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return __all__
