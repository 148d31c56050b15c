"""Words of random recurrences: dims with their sizes, windows, functions, and where expressions may stand."""

from __future__ import annotations

# Where an expression stands decides what it may read: a step, each sequence's own values, or what all sequences share.
TIMED, SEQUENCE, SHARED = "timed", "sequence", "shared"

DIMS = {"n": 2, "m": 3, "k": 1}
PARTS = {"n + m": ("n", "m"), "2*n": ("n", "n")}  # dims that are sums, of which slices are taken
SIZES = DIMS | {name: sum(DIMS[part] for part in parts) for name, parts in PARTS.items()}
CUTS = {"n": (("n + m", "0:n"), ("2*n", "0:n"), ("2*n", "n:2*n")), "m": (("n + m", "n:n + m"),)}  # where a dim is found in others

WINDOWS = ("steps", "steps", "steps[-2:]", "steps[1:]", "steps[:2]", "steps[-3:-1]", "steps[1:3]", "steps[:-1]")
PICKS = ("T", "T", "T-1", "1", "2", "T-2")

BOUNDED = ("tanh({})", "sigmoid({})", "sin({})", "atan({})")  # what a loop may run through without growing
SMOOTH = (
    *BOUNDED, "softplus({})", "cos({})", "erf({})", "gelu({})", "exp(tanh({}))", "log(2.5 + sin({}))", "sqrt(1.5 + cos({}))",
    "phi({})", "((1.5 + sin({}))**-2)", "((1.5 + cos({}))**0.5)", "((1.5 + sin({}))**(3/2))", "((1.5 + cos({}))**-0.5)",
    "({}**2)", "({}**3)", "(-{})", "log(sigmoid({}))", "log(1 - sigmoid({}))",
)  # fmt: skip
KINKED = (
    "relu({})", "abs({})", "sign({})", "where({0} > 0.1, {0}, 0.5*{0})", "where({0} <= 0, {1}, {0}*{1})", "maximum({}, 0.2)",
    "minimum({}, {})", "maximum({}, {})",
)  # fmt: skip
STOPPED = ("stop_gradient({})", "spike({})", "surrogate(where({0} > 0, 1, 0), 1/(1 + {0}**2), {0})", "surrogate({}, cos({}), {})")
ABSTRACT = ("f({})", "f({})", "slope(f, {})", "slope(f, {}, 2)")

LAMBDAS = (
    "phi = lambda a: a/(2 + sin(a))",
    "blend = lambda a, b: a*sigmoid(b) + b/n",
    "spike = surrogate(lambda a: where(a > 0, 1, 0), lambda a: 1/(1 + a**2)**2)",
)
FUNCTION = "f: function"
