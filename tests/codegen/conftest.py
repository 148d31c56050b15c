"""One cache folder and one kernel of each kind for the whole session, so that nothing is compiled twice."""

import functools

import pytest

import codegen
from codegen.cache import Cache
from codegen.environment import find_toolchain


@pytest.fixture(scope="session")
def session_cache(tmp_path_factory):
    return tmp_path_factory.mktemp("kernels") / "cache"


@pytest.fixture(scope="session")
def compiled(session_cache):
    """Compile text or a stock name, once for each dtype."""

    @functools.cache
    def compile(recurrence, dtype="float64"):
        return codegen.compile(recurrence, dtype, cache=Cache(session_cache))

    return compile


@pytest.fixture(scope="session")
def toolchain():
    found = find_toolchain()
    if found is None:
        pytest.skip("needs a C compiler")
    return found
