"""Kernels, as in the tests of the code generator, and the example that builds stacks of layers."""

import importlib.util
from pathlib import Path

import pytest

from tests.codegen.conftest import compiled, session_cache  # noqa: F401

EXAMPLE = Path(__file__).parents[2] / "docs" / "examples" / "stacks.py"


@pytest.fixture(scope="session")
def stacks():
    spec = importlib.util.spec_from_file_location("stacks_example", EXAMPLE)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
