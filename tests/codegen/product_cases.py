"""What the tests of products with a direction share: interpreted kernels of the stock recurrences, values and directions, errors."""

import functools

import numpy as np
from oracles import stock_layouts

from tests.codegen.kernel_cases import interpreted, worst

LENGTHS = [4, 7, 1, 0]


@functools.cache
def kernel(name):
    return interpreted(name)


@functools.cache
def case(name):
    """Values with every kind of length, and two directions that keep the constraints and are zero beyond each sequence's end."""
    timed = stock_layouts.LAYOUTS[name].timed
    values = stock_layouts.draw(name, seed=6, steps=7, batch=len(LENGTHS), lengths=LENGTHS if timed else None)
    rng, directions = np.random.default_rng(5), []
    for _ in range(2):
        move = {label: rng.standard_normal(np.shape(array)) for label, array in values.items() if label != "lengths"}
        for label in timed:
            for row, length in enumerate(LENGTHS):
                move[label][length:, row] = 0
        directions.append(stock_layouts.allowed(name, move))
    return values, *directions


def inner(first, second):
    return sum(float(np.sum(first[label] * second[label])) for label in first)


def only_graded(kernel, direction):
    return {label: direction[label] for label in kernel.program.results["gradient"] if label in direction}


def largest(found, wanted):
    return max(worst(found[label], wanted[label]) for label in found)
