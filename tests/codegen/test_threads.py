"""Threads: rows in shares, the same bits for any number of them, signals and forks."""

import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from codegen.compiled import MOST_THREADS, available_threads, shares
from tests.codegen.command_line import hear_interrupts

MIXED = """
x[t]: m
c[t]: index[m]
A: (n, n)
Q: (k, n)
P: (n, n)
S: (n, n) = (A - A.T)/2
h[t]: n = tanh(S @ h[t-1] + U @ x[t] + E0 @ onehot(c[t]))
g[t]: n = tanh(V @ g[t+1] + h[t])
M[t]: (n, m) = 0.5*M[t-1] + outer(g[t], x[t])
y[t]: k = softmax(R @ concat(h[t], g[t]) + Q @ M[t] @ x[t])
q: n = tanh(h[T])
E = minimize(sum(norm2(y[t]) + norm2(M[t]) for t in steps) + dot(q, P @ q) + 0.1*norm2(A))
"""


def values(steps=9, batch=13, n=5, m=3, k=4, lengths=None):
    rng = np.random.default_rng(7)
    shapes = {"A": (n, n), "U": (n, m), "E0": (n, m), "V": (n, n), "R": (k, 2 * n), "Q": (k, n), "P": (n, n)}
    found = {name: 0.5 * rng.standard_normal(shape) for name, shape in shapes.items()}
    found |= {"x": rng.standard_normal((steps, batch, m)), "c": rng.integers(-1, m, (steps, batch))}
    found["h[0]"] = rng.standard_normal((batch, n))
    return found if lengths is None else {**found, "lengths": np.append(rng.integers(0, steps + 1, batch - 1), steps)}


def results(kernel, given):
    run = kernel.forward(given)
    seeds = {"y": np.ones_like(run["y"])}
    found = {f"gradient at {label}": array for label, array in run.backward().items()}
    found |= {f"pullback at {label}": array for label, array in run.backward(seeds).items()}
    return {**found, **{name: run[name] for name in kernel.program.results["forward"]}}


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("lengths", [None, True])
@pytest.mark.parametrize("batch", [13, 2])
def test_results_are_the_same_bits_for_any_number_of_threads(compiled, dtype, lengths, batch):
    kernel, given = compiled(MIXED, dtype), values(batch=batch, lengths=lengths)
    wanted = results(kernel.using(1), given)
    assert len(wanted) > 20 and sum(bool(np.any(array)) for array in wanted.values()) > 25
    for threads in (2, 3, 5, 13, 40):
        for _ in range(3):
            found = results(kernel.using(threads), given)
            assert all(np.array_equal(found[name], wanted[name]) for name in wanted), threads
    other = results(kernel.using(2), {**given, "x": given["x"] * (1 + 1e-6)})
    assert any(not np.array_equal(other[name], wanted[name]) for name in wanted)


def test_rows_do_not_depend_on_the_batch_around_them(compiled):
    kernel, given = compiled(MIXED), values()
    whole = kernel.using(1).forward(given)
    half = {name: array[:, 5:] if name in "xc" else array[5:] if name == "h[0]" else array for name, array in given.items()}
    for name in ("h", "g", "y", "M"):
        assert np.array_equal(kernel.using(2).forward(half)[name], whole[name][:, 5:])


def test_shares_hold_every_row_once_and_equal_work():
    lengths = np.array([9, 9, 8, 5, 3, 3, 1, 1, 0, 0])
    for threads in range(1, 12):
        borders = shares(lengths, threads)
        assert borders[0] == 0 and borders[-1] == 10 and np.all(np.diff(borders) >= 0)
        assert len(borders) == threads + 1
    assert list(shares(lengths, 2)) == [0, 2, 10]
    assert list(shares(np.full(64, 7), 2)) == [0, 32, 64] and list(shares(np.full(50, 7), 3)) == [0, 16, 32, 50]
    assert list(shares(np.zeros(0, int), 4)) == [0, 0] and list(shares(np.full(2, 7), 5)) == [0, 1, 2, 2, 2, 2]


def test_the_number_of_threads_is_asked_for_by_name(compiled, monkeypatch):
    for wrong in (0, -1, 1.5, MOST_THREADS + 1, True):
        with pytest.raises(ValueError, match="threads is .*; it must be a whole number from 1 to 64"):
            compiled(MIXED).using(wrong)
    monkeypatch.setenv("RETROGRAD_THREADS", "3")
    assert available_threads() == 3
    monkeypatch.setenv("RETROGRAD_THREADS", "many")
    with pytest.raises(ValueError, match="RETROGRAD_THREADS is 'many'"):
        available_threads()
    monkeypatch.delenv("RETROGRAD_THREADS")
    assert 1 <= available_threads() <= os.cpu_count()


def test_a_forked_child_may_call_too(compiled):
    kernel, given = compiled(MIXED).using(2), values()
    wanted = kernel.value_and_grad(given)[0]
    child = os.fork()
    if child == 0:
        os._exit(0 if kernel.value_and_grad(given)[0] == wanted else 1)
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            break
        time.sleep(0.02)
    else:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        pytest.fail("the child hangs")
    assert os.waitstatus_to_exitcode(status) == 0


def test_calls_from_several_threads_at_once_do_not_meet(compiled):
    kernel = compiled(MIXED).using(2)
    each = [values(batch=8) | {"x": np.random.default_rng(seed).standard_normal((9, 8, 3))} for seed in range(6)]
    wanted = [kernel.using(1).value_and_grad(given) for given in each]
    assert len({value for value, _ in wanted}) == 6
    with ThreadPoolExecutor(6) as at_once:
        for found in at_once.map(lambda _: [kernel.value_and_grad(given) for given in each], range(30)):
            for (value, gradients), (right, all_right) in zip(found, wanted, strict=True):
                assert value == right and all(np.array_equal(gradients[name], all_right[name]) for name in all_right)


FIRST = """
import sys, threading
import numpy as np
import codegen
from codegen.cache import Cache
from pathlib import Path
kernel = codegen.compile("elman", cache=Cache(Path(sys.argv[1]))).using(2)
rng = np.random.default_rng(0)
shapes = {"W": (4, 4), "U": (4, 2), "b": (4,), "V": (2, 4), "c": (2,), "x": (20, 6, 2), "d": (20, 6, 2)}
values = {name: rng.standard_normal(shape) for name, shape in shapes.items()}
ready, found = threading.Barrier(6), []
def call():
    ready.wait()
    found.append(kernel.value_and_grad(values)[0])
threads = [threading.Thread(target=call) for _ in range(6)]
for thread in threads: thread.start()
for thread in threads: thread.join()
assert len(found) == 6 and set(found) == {kernel.using(1).value_and_grad(values)[0]}
"""


def test_first_calls_of_a_process_may_come_at_once(compiled, session_cache):
    compiled("elman")
    for _ in range(5):
        done = subprocess.run([sys.executable, "-c", FIRST, str(session_cache)], capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stderr


STEADY = """
import sys
import numpy as np
import codegen
from codegen.cache import Cache
from pathlib import Path
text = sys.argv[2]
kernel, rng = codegen.compile(text, cache=Cache(Path(sys.argv[1]))), np.random.default_rng(0)
shapes = {"W": (4, 4), "U": (4, 2), "V": (3, 4), "x": (20, 1, 2)}
values = {name: 0.4*rng.standard_normal(shape) for name, shape in shapes.items()}
found = [kernel.using(threads).value_and_grad(values) for threads in (1, 2, 5)]
for value, grads in found:
    assert value == found[0][0] and all(np.array_equal(grads[label], found[0][1][label]) for label in grads)
"""
AT_ALL_STEPS = """
x[t]: m
s[t]: n = tanh(W @ s[t]/2 + U @ x[t])
y[t]: k = V @ s[t]
E = minimize(sum(norm2(y[t]) for t in steps))
"""


def test_steady_states_of_all_steps_with_more_threads_than_sequences(session_cache):
    # Threads search alone: if the equations of one waited for the others, this would never end.
    command = [sys.executable, "-c", STEADY, str(session_cache), AT_ALL_STEPS]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr


@pytest.mark.skipif(not os.path.isdir("/proc/self/task"), reason="threads are counted in Linux's /proc")
def test_threads_go_when_there_is_nothing_to_do_and_come_back(compiled):
    def running():
        return len(os.listdir("/proc/self/task"))

    def until(holds, act):
        deadline = time.monotonic() + 60
        while not holds():
            assert time.monotonic() < deadline
            act()

    kernel, given = compiled(MIXED), values()
    wanted = kernel.using(1).value_and_grad(given)[0]
    time.sleep(0.1)  # for those of another test
    before, found = running(), []
    for _ in range(3):
        until(lambda: running() > before, lambda: found.append(kernel.using(4).value_and_grad(given)[0]))
        assert running() <= before + 3
        until(lambda: running() == before, lambda: time.sleep(0.01))
    assert set(found) == {wanted}


LONG = """
import sys
import numpy as np
import codegen
from codegen.cache import Cache
from pathlib import Path
kernel = codegen.compile(sys.argv[1], cache=Cache(Path(sys.argv[2]))).using(2)
T, B, n = 2_000_000, 2, 4
values = {"W": np.eye(n), "U": np.ones((n, 2)), "b": np.zeros(n), "V": np.ones((2, n)), "c": np.zeros(2)}
values |= {"x": np.ones((T, B, 2)), "d": np.full((T, B, 2), 0.5)}
print("begins", flush=True)
try:
    while True:
        kernel.value_and_grad(values)
except KeyboardInterrupt:
    print("stopped", flush=True)
"""


def test_an_interrupt_stops_a_long_call(compiled, session_cache):
    compiled("elman")
    command = [sys.executable, "-c", LONG, "elman", str(session_cache)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, preexec_fn=hear_interrupts) as process:
        assert process.stdout.readline() == "begins\n"
        time.sleep(1)
        process.send_signal(signal.SIGINT)
        try:
            out, _ = process.communicate(timeout=60)
        finally:
            process.kill()
    assert out == "stopped\n"
