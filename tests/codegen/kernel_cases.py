"""What the kernel tests share: interpreted kernels from text, small programs, random cases, errors of arrays."""

import functools

import numpy as np
from fuzzing import Case

from codegen.kernel import Kernel
from codegen.lower import lower
from codegen.lower.products import lower_product
from codegen.program import Loop, Solve
from codegen.statements import Fill
from derive.language import load, parse

ELMAN = """
x[t]: m
h[t]: n = tanh(W @ h[t-1] + U @ x[t] + b)
E = minimize(sum(norm2(h[t]) for t in steps))
"""


def interpreted(text, dtype="float64", derivatives=True):
    """A kernel of text, or of a stock name, without a compiler."""
    recurrence = parse(text) if "\n" in text else load(text)
    products = functools.cache(lambda name: Kernel(lower_product(recurrence, name), dtype))
    return Kernel(lower(recurrence, derivatives), dtype, products=products)


def statements(program, phase="forward"):
    """Every statement of a phase by what it fills."""
    return {s.out: s for segment in program.phases[phase].segments() for s in segment.statements}


def parts(program, phase="forward"):
    """Segments, solves and loops of a phase, those inside loops behind their loop."""
    for action in program.phases[phase].actions:
        yield action
        if isinstance(action, Loop):
            yield from action.body


def fillers(action):
    """The names whose steps an action fills."""
    inside = action.body if isinstance(action, Loop) else (action,)
    made = [s for part in inside for s in (part.segment if isinstance(part, Solve) else part).statements]
    return {s.out for s in made if not isinstance(s, Fill)}


def home(program, name, phase="forward"):
    """The action in which a buffer is filled."""
    return next(action for action in program.phases[phase].actions if name in fillers(action))


def worst(found, wanted):
    """The largest difference, relative where values are large; infinite for NaN or another shape."""
    found, wanted = np.asarray(found), np.asarray(wanted)
    if found.shape != wanted.shape:
        return np.inf
    error = np.max(np.abs(found - wanted), initial=0.0)
    return float(error / max(1.0, np.max(np.abs(wanted), initial=0.0))) if np.isfinite(error) else np.inf


def random_case(seed):
    """A random recurrence with values at which steady states are unique and every fixed position exists."""
    case = Case(seed, analytic=seed % 2 == 0)
    program = lower(case.recurrence)
    while True:
        try:
            Kernel(program, "float64").forward(given(case), steps=case.steps, batch=case.batch)
            return case, program
        except ValueError as error:
            # A divisor that holds T and a signal asks for a step even where it is not zero without one.
            if "it needs at least" not in str(error):
                raise
            case.steps += 1
            case.place()


def given(case, arrays=None):
    """The values of a case with lengths, beyond each sequence's own end NaN, and for an index a number that it does not take."""
    values = {label: beyond(case, np.array(array)) if _timed(case, label) else array for label, array in case.values.items()}
    return {**values, **(arrays or {}), "lengths": case.lengths}


def beyond(case, array):
    """A timed array with nonsense beyond each sequence's own end."""
    for row, length in enumerate(case.lengths):
        array[length:, row] = np.nan if array.dtype.kind == "f" else 10**6
    return array


def _timed(case, label):
    return label in case.recurrence.named and case.recurrence.named[label].kind == 2


def everything(kernel, values, **options):
    """Signals and gradients of one call."""
    run = kernel.forward(values, **options)
    return {"h": run["h"], "y": run["y"], "E": run.value, **run.backward()}


def same(found, wanted):
    return found.keys() == wanted.keys() and all(np.array_equal(found[name], wanted[name]) for name in wanted)
