"""Many calls of one kernel: the same bits, from any thread, without the lock."""

import contextlib
import threading
import time
from dataclasses import replace

import pytest
from oracles import stock_layouts

from tests.codegen.kernel_cases import same


@pytest.fixture(scope="module")
def elman(compiled):
    return compiled("elman")


def test_repeated_calls_give_the_same_bits(compiled):
    for name in ("elman", "lstm", "settle"):
        values = stock_layouts.draw(name, seed=3)
        kernel = compiled(name)
        first = kernel.value_and_grad(values)
        for _ in range(3):
            again = kernel.value_and_grad(values)
            assert again[0] == first[0] and same(again[1], first[1])


def test_signals_are_the_same_whether_they_are_kept_or_not(elman):
    values = stock_layouts.draw("elman", seed=2)
    run, (value, grads) = elman.forward(values), elman.value_and_grad(values)
    assert run.value == value and same(run.backward(), grads)


def test_two_threads_may_call_one_kernel_at_once(elman):
    cases = [stock_layouts.draw("elman", seed=s, steps=40 + s, batch=4) for s in range(4)]
    wanted = [elman.value_and_grad(values) for values in cases]
    wrong = []

    def work(which):
        for _ in range(30):
            value, grads = elman.value_and_grad(cases[which])
            if value != wanted[which][0] or not same(grads, wanted[which][1]):
                wrong.append(which)

    threads = [threading.Thread(target=work, args=(which,)) for which in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


class Timed:
    """A compiled module that notes when each segment began and ended; `locked` keeps other Python code out meanwhile."""

    def __init__(self, module, lock):
        self.module, self.lock, self.spans, self.unfinite = module, lock, [], module.unfinite

    def run(self, *arguments):
        with self.lock:
            began = time.perf_counter()
            self.module.run(*arguments)
            self.spans.append((began, time.perf_counter()))


def beats_inside(kernel, values, tries, lock, shared):
    """Whether another thread ever ran while a segment did."""
    beats, done = [], threading.Event()

    def beat():
        while not done.is_set():
            with shared:
                beats.append(time.perf_counter())
            time.sleep(0.0005)

    thread = threading.Thread(target=beat)
    thread.start()
    timed = Timed(kernel.module, lock)
    try:
        for _ in range(tries):
            replace(kernel, module=timed).forward(values)
            if any(began < moment < ended for began, ended in timed.spans for moment in beats):
                return True
        return False
    finally:
        done.set()
        thread.join()


def test_other_threads_run_during_a_long_call(elman):
    values = stock_layouts.draw("elman", seed=1, steps=600, batch=32, dims={"n": 64, "m": 8, "k": 4})
    assert beats_inside(elman, values, 200, contextlib.nullcontext(), contextlib.nullcontext())
    lock = threading.Lock()
    assert not beats_inside(elman, values, 3, lock, lock)
