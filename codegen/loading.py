"""Loading: an extension module on disk -> the module."""

from __future__ import annotations

import importlib.machinery
import importlib.util
import sys
from pathlib import Path
from types import ModuleType


class BuildError(RuntimeError):
    """No extension module came out: what was being built, what the compiler said last, what to do."""


def load_extension(path: Path, stem: str) -> ModuleType:
    """Load the module `stem` from exactly the file `path`; `sys.modules` stays as it was.

    Raises: BuildError where the file is no such module.
    """
    path = path.absolute()
    loader = importlib.machinery.ExtensionFileLoader(stem, str(path))
    spec = importlib.util.spec_from_file_location(stem, path, loader=loader)
    assert spec is not None
    before = sys.modules.get(stem)
    try:
        module = importlib.util.module_from_spec(spec)
        loader.exec_module(module)
    except ImportError as problem:
        advice = "Clear the cache (`retrograd cache clear`) and try again; `retrograd doctor` shows what is found here."
        raise BuildError(f"the compiled module {stem} cannot be loaded from {path}: {problem}\n{advice}") from problem
    finally:
        # Cython enters its modules itself, where another module of the same name may be wanted later.
        if before is None:
            sys.modules.pop(stem, None)
        else:
            sys.modules[stem] = before
    return module
