import functools

import numpy as np
import pytest
import sympy as sp

import derive
from codegen.element import Const, SizeValue, Steps
from codegen.kernel import Kernel
from codegen.lower import lower
from codegen.lower.sizes import as_element, as_size
from derive import arithmetic, arrays, flattening, nodes, temporal
from derive.adjoint import gradient
from derive.errors import RecurrenceError
from derive.language import load, parse
from derive.nodes import T, dim
from derive.normal import normalise
from derive.reference import evaluate
from tests.codegen.kernel_cases import worst

DIMS = {"n": 2, "m": 3, "k": 1}
HEAD = "x[t]: m\nw[t]: scalar\nu: input[n]\nh[t]: n = tanh(W @ h[t-1] + U @ x[t] + b)\n"


def cost(terms, untimed=""):
    return f"{HEAD}E = minimize(sum({terms} for t in steps){untimed})"


# Every node of the calculus, in each place where it is lowered in a way of its own.
NODES = {
    "size as a divisor": cost("norm2(h[t]/n)"),
    "product of sizes": cost("norm2(h[t]/(n*m)) + norm2(2*n*h[t])"),
    "sum of sizes": cost("norm2((n + m)*h[t]) + norm2(h[t]/(2*n))"),
    "T": cost("norm2(T*h[t])*T**2 + (T + n - 1/2)*sum(h[t])"),
    "T as a divisor": cost("norm2(h[t])/T", "/T"),
    "slice of a vector": cost("norm2(h[t][0:1]) + h[t][1]**2 + norm2(x[t][1:3]*h[t][0])", " + norm2(b[0:1])"),
    "slice of an expression": cost("norm2(concat(h[t], x[t])[1:4][0:2]) + concat(h[t], x[t])[1]**2"),
    "slice of a matrix": cost("norm2(h[t])", " + norm2(U[:, 0]) + norm2(U[0, :]) + norm2(U[0:1, 1:3]) + U[1, 2]**2"),
    "product with a slice": cost("norm2(U[:, 0:n] @ h[t]) + norm2(W[0:1, :] @ h[t])"),
    "concat": cost("norm2(concat(h[t], x[t], u, b))", " + norm2(concat(b, u))"),
    "component of a concat": cost("y[t][1]**2 + y[t][3]").replace("E =", "y[t]: n+m = concat(h[t], x[t])\nE ="),
    "outer": cost("norm2(outer(h[t], x[t])) + norm2(outer(h[t], b) @ u)", " + norm2(outer(b, u))"),
    "diag": cost("norm2(diag(h[t]) @ u)", " + norm2(diag(W)) + norm2(diag(b) @ W)"),
    "eye": cost("norm2((W + eye(n)) @ h[t])", " + norm2(W @ W.T - eye(n))"),
    "zeros and ones": cost("norm2(h[t] + zeros(n) + 2*ones(n))", " + norm2(ones(n, m) + U)"),
    "transpose": cost("norm2(W.T @ h[t]) + norm2(transpose(U) @ h[t-1])", " + norm2(W + W.T)"),
    "sum and mean": cost("mean(h[t])**2 + mean(outer(h[t], x[t]))**2", " + mean(W)**2 + sum(U)**2"),
    "softmax of a matrix": cost("norm2(softmax(W) @ h[t])", " + norm2(log_softmax(U)) + norm2(logsumexp(U)) + norm2(layer_norm(U))"),
    "softmax of a vector": cost("norm2(softmax(h[t])) + norm2(log_softmax(h[t] + u)) + logsumexp(x[t]) + norm2(layer_norm(x[t]*x[t]))"),
    "cross entropy": cost("cross_entropy(x[t], softmax(V @ h[t])) + cross_entropy(x[t], sigmoid(V @ h[t]))"),
    "where": cost("norm2(where(h[t] > x[t-1][0:n], h[t], 2*u)) + where(w[t] <= 0.1, w[t], norm2(u))"),
    "stopped and chosen slopes": cost("norm2(stop_gradient(h[t])*u) + sum(surrogate(sign(h[t]), exp(h[t]), h[t]))"),
    "kinks": cost("sum(abs(h[t]) + relu(h[t]) + maximum(h[t], u) - minimum(h[t], x[t][0:n]))"),
    "smooth functions": cost("sum(exp(h[t]) + log(2 + h[t]) + sqrt(2 + h[t]) + sin(h[t]) + cos(h[t]) + erf(h[t]) "
        "+ gelu(h[t]) + atan(h[t]))"),
    "softplus and sigmoid": cost("sum(softplus(h[t])*sigmoid(h[t]))"),
    "powers": cost("sum(h[t]**3) + sum((2 + h[t])**(1/2)) + sum((2 + h[t])**-2) + sum((2 + h[t])**9)"),
    "within": cost("norm2(within(h[t]*u, steps[1:-1]) + within(u, steps[-2:]))"),
    "sum of what has no time": cost("norm2(u)", " + sum(dot(b, u) for t in steps[1:])"),
    "window of a sum": cost("0*w[t]", " + sum(norm2(h[t]) for t in steps[1:3]) + sum(w[t] for t in steps[-2:])"),
    "fixed steps": f"{HEAD}E = minimize(norm2(h[T]) + norm2(h[0]) + norm2(h[1]) + dot(h[T-1], h[2]) + norm2(x[2]) + norm2(x[T-2]))",
    "one value at every step": cost("norm2(y[t]) + norm2(q[t]*h[t])").replace("E =", "y[t]: m = x[1]\n"
        "q[t]: n = W @ u\nr[t]: scalar = dot(u, b)\nE ="),
    "one value for every sequence": cost("norm2(h[t]*q)").replace("E =", "q: n = each(W @ b)\nE ="),
    "matrix products": cost("norm2(W @ W @ h[t]) + norm2((W @ U) @ x[t])"),
    "change of shape": cost("norm2(reshape(outer(h[t], x[t]), m, n) @ u) + norm2(reshape(W, n*n)[1:3])", " + norm2(reshape(U, m, n) @ W)"),
    "kronecker product": cost("norm2(kron(eye(n), h[t]) @ reshape(W, n*n)) + norm2(kron(h[t], x[t]) + kron(b, x[t])[0]) "
        "+ sum(sin(kron(h[t], U))) + sum(cos(kron(outer(h[t], u), W)))", " + norm2(kron(U, W)[1:3, :]) + norm2(kron(W, b).T)"),
    "product with a diagonal matrix": cost("norm2(diag(h[t]) @ outer(u, x[t])) + norm2(W @ diag(h[t]))", " + norm2(W @ diag(b))"),
    "penalties": f"{HEAD}E = minimize(sum(norm2(h[t]) for t in steps) + 0.1*norm2(W) + norm2(u)/2 - norm2(b)*norm2(u))",
    "inputs before and after": "x[t]: m\ny[t]: n = U @ x[t-2] + V @ x[t+1]\nE = minimize(sum(norm2(y[t]) for t in steps) + norm2(x[T]))",
    "backward": "x[t]: m\ng[t]: n = tanh(V @ g[t+2] + A @ g[t+1] + U @ x[t+1])\ng[...] = g0\ng0: n\n"
        "E = minimize(sum(norm2(g[t]) for t in steps))",
    "values outside": "x[t]: m\nh[t]: n = tanh(W @ h[t-1] + A @ h[t-3] + U @ x[t])\nh[0] = 0.5\n"
        "h[-1] = tanh(U @ x[1])\nE = minimize(norm2(h[T]))",
    "after the last step": "x[t]: n\nh[t]: n = tanh(W @ h[t-1] + x[t])\nh[T+1] = 2*h[T]\n"
        "E = minimize(sum(norm2(h[t+1] - h[t]) for t in steps))",
    "derived parameter": "x[t]: n\nA: (n, n)\nW: (n, n) = (A + A.T)/2\nh[t]: n = tanh(W @ h[t-1] + x[t])\nh[0] = h0\n"
        "h0: n\nE = minimize(norm2(h[T]))",
    "constants": "x[t]: m\ntau: const = 0.3\nC: const[n, m]\nh[t]: n = h[t-1] + tau*(C @ x[t] - h[t-1])*k0\n"
        "k0: scalar\nE = minimize(norm2(h[T]))",
    "projections": "x[t]: n\nh[t]: n = tanh(W @ h[t-1] + x[t] + q)\nq: n = 2*project(p, p = p*p, r = W @ r) + r\np: n\nr: n\n"
        "assert sum(p) == sum(r)\nassert W[0, :] == r\nE = minimize(norm2(h[T]) + sum(project(r, p = p)))",
    "scalars": "x[t]: scalar\nh[t]: scalar = tanh(a*h[t-1] + c*x[t])\na: scalar\nc: scalar\nE = minimize(sum(h[t]**2 for t in steps))",
    "steady within a loop": "x[t]: n\nh[t]: n = tanh(0.3*g[t] + x[t])\ng[t]: n = tanh(0.4*h[t] + W @ g[t-1])\n"
        "E = minimize(sum(norm2(h[t]) for t in steps))",
    "shared steady state": "u[t]: n\nx: n = tanh(0.4*(W @ x) + b)\nE = minimize(sum(dot(u[t], x) for t in steps))",
    "totals": HEAD + "S: total[n, n] = sum(outer(h[t-1], h[t-1]) for t in steps) + outer(b, b)\nQ: total[n, m] = outer(u, x[T])\n"
    "R: total[n] = 2*u - h[T]/2 + b\nP: total = sum(norm2(h[t]) for t in steps)/2\n"
        "A: total[n, n] = sum(outer(h[t], h[t-1]) for t in steps[1:])\n",
    "totals beside values after the end": "x[t]: n\ng[t]: n = tanh(V @ g[t+1] + x[t])\nf[t]: n = tanh(W @ f[t+1])\n"
    "S: total[n, n] = sum(outer(g[t], f[t]) for t in steps)\nR: total[n] = sum(g[t+1] for t in steps)\n",
}  # fmt: skip


def drawn(recurrence, seed, steps, lengths):
    """Values of random size, constants with a default at that default; NaN beyond each end in a second mapping."""
    rng, whole = np.random.default_rng(seed), {}
    lead = {0: (), 1: (len(lengths),), 2: (steps, len(lengths))}
    for quantity in (*recurrence.of_role("input", "parameter", "constant"), *recurrence.arguments):
        shape = [int(size.subs({dim(name): length for name, length in DIMS.items()})) for size in quantity.shape]
        whole[quantity.source()] = 0.4 * rng.standard_normal((*lead[int(quantity.kind)], *shape))
    whole.update({name: np.array(float(value)) for name, value in recurrence.defaults.items()})
    cut = {}
    for label, array in whole.items():
        cut[label] = array.copy()
        if label in recurrence.named and recurrence.named[label].kind == 2:
            for row, length in enumerate(lengths):
                cut[label][length:, row] = np.nan
    return whole, {**cut, "lengths": np.array(lengths)}


@functools.cache
def made(text):
    recurrence = parse(text + "\n")
    return recurrence, Kernel(lower(recurrence), "float64"), gradient(recurrence) if recurrence.objective else None


def errors(text, seed, steps, lengths):
    recurrence, kernel, derivation = made(text)
    whole, cut = drawn(recurrence, seed, steps, lengths)
    cut = kernel.nearest(cut, steps=steps, batch=len(lengths))
    whole |= {q.name: cut[q.name] for q in recurrence.of_role("parameter")}
    run = kernel.forward(cut, steps=steps, batch=len(lengths))
    wanted = evaluate(derivation.recurrence if derivation else recurrence, whole, steps, len(lengths), lengths)
    found = {name: worst(run[name], wanted[name]) for name in run.kernel.program.results["forward"]}
    if derivation:
        grads = run.backward()
        found |= {f"{label} gradient": worst(grads[label], wanted[q.name]) for label, q in derivation.gradients.items()}
    return found


@pytest.mark.parametrize("name", NODES)
def test_node_equals_the_literal_reference(name):
    # The reference computes a steady state's past again and again.
    for seed, (steps, lengths) in enumerate([(2, (2, 1))] if name == "steady within a loop" else [(5, (5, 3, 4)), (3, (3, 2))]):
        found = errors(NODES[name], seed, steps, lengths)
        assert max(found.values()) < 1e-11, found


def test_every_node_type_is_lowered_here():
    """The calculus' node types and the ones these recurrences hold; the others have no value, or are gone in the normal form."""
    held = {type(n).__name__ for text in NODES.values() for e in all_equations(text) for n in nodes.walk(e.expr)}
    classes = [c for module in (arithmetic, arrays, flattening, nodes, temporal) for c in vars(module).values() if isinstance(c, type)]
    leaves = {c.__name__ for c in classes if issubclass(c, nodes.Node) and not c.__subclasses__()}
    assert leaves - held == {"Abstract", "Argument"}


def test_a_stopped_value_is_computed_and_sends_nothing_back():
    builder = derive.Builder("jordan")
    x, h = builder.input("x", "n"), builder.signal("h", "n")
    builder.define(h[derive.t], derive.tanh(temporal.StopGradient(h[derive.t - 1]) + x[derive.t]))
    builder.minimize("E", derive.sum_over(derive.norm2(h[derive.t])))
    values = {"x": np.array([[[0.3]], [[0.8]]])}
    run = Kernel(lower(builder.recurrence()), "float64").forward(values)
    h1, h2 = np.tanh(0.3), np.tanh(np.tanh(0.3) + 0.8)
    assert run["h"].ravel() == pytest.approx([h1, h2])
    assert run.backward()["x"].ravel() == pytest.approx([2 * h1 * (1 - h1**2), 2 * h2 * (1 - h2**2)])


def all_equations(text):
    recurrence, _, derivation = made(text)
    return (*normalise(recurrence).equations, *(derivation.recurrence.equations if derivation else ()))


# refusals


@pytest.mark.parametrize(("text", "problem", "hint"), [
    ("f: function\nu: input[n]\nx: n = f(W @ u)\nE = minimize(norm2(x))\n",
     "f is declared as a function without a definition", "f = lambda u"),
    ("R = maximize(...)\nu: input[n]\nx: n = tanh(W @ u)\n", "R is left abstract", "R = maximize(norm2(x))"),
    ("x[t]: n\nR = minimize(...)\nh[t]: n = tanh(W @ h[t-1] + x[t])\n",
     "R is left abstract", r"R = minimize(sum(norm2(h[t]) for t in steps))"),
])  # fmt: skip
def test_what_has_no_value_is_refused_with_a_line_to_write(text, problem, hint):
    with pytest.raises(RecurrenceError) as caught:
        lower(parse(text))
    assert problem in str(caught.value) and hint in str(caught.value)


def test_the_line_to_write_is_accepted():
    lower(parse("R = maximize(norm2(x))\nu: input[n]\nx: n = tanh(W @ u)\n"))


# sizes and numbers


def test_sizes():
    n, m = dim("n"), dim("m")
    assert as_size(sp.Integer(3)) == ((3, ()),)
    assert as_size(2 * n + n * m - 1) == as_size(m * n - 1 + n + n)
    assert as_size(sp.Integer(0)) == ()
    for wrong in (n / 2, 1 / n, sp.sqrt(n), n + sp.Rational(1, 2)):
        with pytest.raises(RecurrenceError, match="is not a size"):
            as_size(wrong)


def test_numbers():
    assert as_element(sp.Rational(1, 3)) == Const(1, 3)
    assert as_element(T) == Steps()
    assert as_element(2 * dim("n")) == SizeValue(((2, ("n",)),))


# names and interface


def test_labels_are_the_users_names():
    program = lower(load("elman"))
    assert set(program.results["forward"]) == {"h", "y", "E"}
    assert set(program.results["gradient"]) == {"W", "U", "b", "V", "c", "x", "d", "h[0]"} == set(program.results["pullback"])
    assert set(program.cotangents) == {"h", "y"}
    given = {b.label for b in program.buffers.values() if b.role == "argument" and b.name not in program.cotangents.values()}
    assert given == {"x", "d", "W", "U", "b", "V", "c", "h[0]"}


def test_what_no_path_leads_to_is_named():
    text = "x[t]: n\nP: n\nh[t]: n = tanh(x[t] + 0*P)\nq: n = P\nE = minimize(sum(norm2(x[t]) for t in steps))\n"
    assert lower(parse(text)).zero == {"P"}


def test_the_same_program_every_time():
    assert lower(load("lstm")) == lower(load("lstm"))
    assert lower(load("lstm")) != lower(load("gru"))
