"""Peers that need not be installed: what uses them is skipped, and says how to have them."""

import pytest


@pytest.fixture(scope="session")
def torch():
    """PyTorch on one thread, since the tests share the machine's cores already."""
    found = pytest.importorskip("torch", reason="PyTorch is not installed; it is an extra of its own: pip install -e '.[torch]'")
    found.set_num_threads(1)
    return found
