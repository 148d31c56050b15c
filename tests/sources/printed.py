"""What the tests of the sources share: kernels in NumPy, Jacobians by complex steps, and the formulas of a derivation."""

from functools import cache

import numpy as np

import derive
from derive.exposition import steps
from derive.present.printer import names_of
from derive.present.text import TextPrinter
from tests.codegen.kernel_cases import interpreted

kernel = cache(interpreted)


def jacobian(f, x):
    """The derivative of analytic f at x by complex steps: the axes of f(x), then those of x."""
    columns = []
    for place in np.ndindex(x.shape):
        moved = x.astype(complex)
        moved[place] += 1e-30j
        columns.append(f(moved).imag / 1e-30)
    return np.stack(columns, -1).reshape(*columns[0].shape, *x.shape)


def formulas(text):
    """The numbered formulas of the derivation of text, or of a stock name, each on one line."""
    found = steps(derive.gradient(derive.parse(text) if "\n" in text else derive.load(text)))
    printer = TextPrinter(names_of(found))
    return [" = ".join(printer.show(part) for part in (step.before, *step.after)) for step in found]


def missing(text, *lines):
    """Those of the lines that the derivation lacks, taken in order."""
    rest = iter(formulas(text))
    return [line for line in lines if not any(line == other for other in rest)]
