"""What the cache tests share: two keys, a build that counts its calls, processes, warnings."""

import contextlib
import os
import subprocess
import sys
import warnings

from codegen.cache import CacheWarning, quick_key

KEY, QUICK = quick_key("a source"), quick_key("a text")


class Counted:
    """A build that counts its calls; its library is the text given."""

    def __init__(self, text="library"):
        self.calls, self.text = 0, text

    def __call__(self, into):
        self.calls += 1
        (into / "library.so").write_text(self.text)
        (into / "library.pyx").write_text("source")
        return "library.so"


def start(program, *arguments):
    return subprocess.Popen(
        [sys.executable, "-c", program, *map(str, arguments)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": os.getcwd()},
    )


@contextlib.contextmanager
def warned(times):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        yield caught
    assert [item.category for item in caught] == [CacheWarning] * times
