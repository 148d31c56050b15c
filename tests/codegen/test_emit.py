import functools
import os
import re
import subprocess
import sys
from dataclasses import replace

import jinja2
import numpy as np
import pytest
from generator import draw, merged
from jinja2 import meta

from codegen import emit as emission
from codegen.emit import TEMPLATES, emit
from codegen.kernel import Kernel
from codegen.lower import lower
from codegen.program import Segment, number_of, segments_of
from derive.language import load, parse
from tests.codegen.kernel_cases import worst

TEXTS = {"float64": merged(range(8)), "float32": merged(range(8, 11))}


@functools.cache
def lowered(text):
    recurrence = parse(text)
    return recurrence, lower(recurrence)


@pytest.fixture(scope="module")
def program():
    return lowered(TEXTS["float32"])[1]


def values_of(recurrence, seed, steps, lengths):
    return {**draw(recurrence, np.random.default_rng(seed), steps, len(lengths), scale=0.3), "lengths": np.array(lengths)}


def results(kernel, values, cotangents=None):
    """Every signal, every gradient, and where cotangents are given every gradient from them."""
    run = kernel.forward(values)
    found = {name: run[name] for name in kernel.program.results["forward"]}
    found |= {f"{label} gradient": grad for label, grad in run.backward().items()}
    return found | ({f"{label} pullback": grad for label, grad in run.backward(cotangents).items()} if cotangents else {})


@pytest.mark.parametrize(("dtype", "allowed"), [("float64", 1e-11), ("float32", 2e-4)])
def test_compiled_equals_interpreted(compiled, dtype, allowed):
    recurrence, program = lowered(TEXTS[dtype])
    kernel, reference = compiled(TEXTS[dtype], dtype), Kernel(program, "float64")
    for steps, lengths in ((4, [4, 4]), (6, [3, 6, 5])):
        values = values_of(recurrence, steps, steps, lengths)
        found, wanted = results(kernel, values), results(reference, values)
        assert found.keys() == wanted.keys()
        errors = {name: worst(found[name], wanted[name]) for name in wanted}
        assert max(errors.values()) < allowed, {name: e for name, e in errors.items() if not e < allowed}
        other = {label: 1.01 * array if label.startswith("u0") else array for label, array in values.items()}
        moved = results(kernel, other)
        assert max(worst(moved[name], wanted[name]) for name in wanted) > allowed


def test_functions_and_indices_of_every_kind(compiled):
    text = (
        "x[t]: n\nu: input[m]\nM: (n, m)\nB: (2*n, n)\n"
        "h[t]: n = tanh(B[n:2*n, :] @ h[t-1] + B[0:n, :].T @ x[t])\n"
        "y[t]: n + m = concat(relu(h[t]) + abs(x[t]) + sign(x[t]) + atan(h[t]) + erf(h[t]) + gelu(h[t]), softplus(u))\n"
        "q[t]: n = where(h[t] > x[t], exp(h[t]), log(2 + h[t])) + maximum(h[t], x[t]) - minimum(h[t], 0.1)\n"
        "p[t]: n = sqrt(2 + h[t])*(3 + h[t])**(1/2) + (2 + h[t])**-2 + h[t]**9 + h[t]**0 + cos(h[t])*sin(h[t])\n"
        "r: n = diag(M @ M.T) + (outer(x[1], u) @ u) + layer_norm(M)[:, 0]*softmax(M)[:, 1] + logsumexp(M)\n"
        "E = minimize(sum(norm2(y[t][1:n+m]) + dot(q[t], p[t])/T + mean(log_softmax(y[t]))*n for t in steps[1:-1]) + norm2(r))\n"
    )
    recurrence, rng = parse(text), np.random.default_rng(1)
    shapes = {"x": (5, 2, 3), "u": (2, 4), "M": (3, 4), "B": (6, 3), "h[0]": (2, 3)}
    values = {label: 0.5 * rng.standard_normal(shape) for label, shape in shapes.items()} | {"lengths": [5, 4]}
    kernel, reference = compiled(text), Kernel(lower(recurrence), "float64")
    seeds = {label: np.ones(np.shape(reference.forward(values)[label])) for label in reference.program.cotangents}
    found, wanted = results(kernel, values, seeds), results(reference, values, seeds)
    assert max(worst(found[name], wanted[name]) for name in wanted) < 1e-12


def test_infinities_and_nan_go_their_way(compiled):
    text = (
        "x[t]: n\ny[t]: n = 1/x[t] + sigmoid(x[t]) + softplus(x[t])*0 + maximum(x[t], -1)\nE = minimize(sum(norm2(y[t]) for t in steps))\n"
    )
    x = np.array([0.0, -800.0, 800.0, np.nan, np.inf, -np.inf]).reshape(6, 1, 1)
    with np.errstate(all="ignore"):
        wanted = Kernel(lower(parse(text)), "float64").forward({"x": x})["y"]
        assert np.array_equal(compiled(text).forward({"x": x})["y"], wanted, equal_nan=True)
    assert np.isinf(wanted[0]) and wanted[1] == pytest.approx(-1 - 1 / 800) and np.isnan(wanted[3])


def test_totals_beside_values_after_each_end(compiled):
    """Rows of all steps are multiplied at once, and what stands after a sequence's end must not enter."""
    text = (
        "x[t]: n\ng[t]: n = tanh(V @ g[t+1] + x[t])\nf[t]: n = tanh(W @ f[t+1])\n"
        "S: total[n, n] = sum(outer(g[t], f[t]) for t in steps)\nQ: total[n, n] = sum(outer(g[t+1], f[t+1]) for t in steps[1:])\n"
    )
    rng = np.random.default_rng(2)
    shapes = {"x": (5, 3, 2), "V": (2, 2), "W": (2, 2), "g[T+1]": (3, 2), "f[T+1]": (3, 2)}
    values = {label: rng.standard_normal(shape) for label, shape in shapes.items()} | {"lengths": [2, 5, 0]}
    run, wanted = compiled(text).forward(values), Kernel(lower(parse(text)), "float64").forward(values)
    assert all(worst(run[name], wanted[name]) < 1e-13 for name in "SQgf")
    g, f = run["g"], run["f"]
    assert worst(run["S"], np.einsum("tbi,tbj->ij", g, f)) < 1e-13


# the source


def placed(folder=TEMPLATES):
    """Every template, with the fields it uses and the ones it makes itself."""
    environment = jinja2.Environment(loader=jinja2.FileSystemLoader(folder), autoescape=False)
    for name in sorted(environment.list_templates(filter_func=lambda n: "/" not in n)):
        text = environment.loader.get_source(environment, name)[0]
        yield name, text, meta.find_undeclared_variables(environment.parse(text)), environment


def rendered(monkeypatch, program):
    """The fields that emission gives to the main template, and the source."""
    seen = {}
    render = jinja2.Template.render

    def spy(template, *args, **fields):
        seen[template.name] = fields
        return render(template, *args, **fields)

    monkeypatch.setattr(emission.jinja2.Template, "render", spy)
    return emit(program, "float64"), seen["kernel.pyx.j2"]


def test_templates_use_exactly_the_fields_supplied(monkeypatch, program):
    _, fields = rendered(monkeypatch, program)
    used = set().union(*(names for _, _, names, _ in placed())) - {"segment", "solve", "unit", "stage", "row", "loop"}
    assert used == set(fields)
    texts = {name: text for name, text, _, _ in placed()}
    made = {"segment": fields["segments"][0], "unit": fields["units"][0], "row": fields["segments"][0]["functions"][0]}
    made |= {"solve": fields["solves"][0]} if fields["solves"] else {}
    for record, supplied in made.items():
        inner = set(re.findall(rf'{record}(?:\.(\w+)|\["(\w+)"\])', texts[f"{record}.pyx.j2"] + texts["entry.pyx.j2"]))
        assert {a or b for a, b in inner} == set(supplied), record


def test_templates_are_skeletons():
    assert all(text.count("\n") < 60 for name, text, _, _ in placed() if name.endswith(".j2"))


def test_a_missing_field_is_an_error(program):
    environment = jinja2.Environment(loader=jinja2.FileSystemLoader(TEMPLATES), undefined=jinja2.StrictUndefined, autoescape=False)
    with pytest.raises(jinja2.UndefinedError):
        environment.get_template("kernel.pyx.j2").render(name="x")


PRINT = """
import sys
from codegen.emit import emit
from codegen.lower import lower
from codegen.signature import encode
from derive.language import load, parse
program = lower(parse(sys.stdin.read()))
sys.stdout.write(emit(program, "float64") + emit(lower(load("lstm")), "float32") + encode(program))
"""


def test_the_source_is_the_same_bytes_in_every_process():
    texts = set()
    for seed in ("1", "12345"):
        done = subprocess.run([sys.executable, "-c", PRINT], input=TEXTS["float32"], capture_output=True, text=True, check=True,
                              env={**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": os.getcwd()})  # fmt: skip
        texts.add(done.stdout)
    assert len(texts) == 1


def test_the_source_differs_where_it_should(program):
    base = emit(program, "float64")
    assert len({base, emit(program, "float32"), emit(program, "float64", {"n": 2}), emit(lower(load("elman")), "float64")}) == 4


def test_every_segment_has_its_function(program):
    source = emit(program, "float64")
    numbers = {part.number for phase in program.phases.values() for part in phase.segments()}
    assert {int(n) for n in re.findall(r"^cdef void segment_(\d+)\(", source, re.M)} == numbers
    assert {int(n) for n in re.findall(r"^ +(?:settle(?:_alone)?\(call, )?segment_(\d+)[(,]", source, re.M)} == numbers
    whole = {number_of(part[0]) for phase in program.phases.values() for part in phase.runs if isinstance(part, tuple)}
    pieces = {s.number for phase in program.phases.values() for a in phase.actions if not isinstance(a, Segment) for s in segments_of(a)}
    assert {int(n) for n in re.findall(r"number == (-?\d+):", source)} == whole | {~number for number in pieces}


def test_names_of_users_enter_only_with_a_prefix():
    hostile = (
        "gil[t]: malloc\nfree: (malloc, malloc)\nbatch[t]: malloc = tanh(free @ batch[t-1] + gil[t])\nint = minimize(norm2(batch[T]))\n"
    )
    try:
        program = lower(parse(hostile))
    except Exception as error:  # a name that the language refuses needs no care here
        pytest.fail(f"the language refuses these names now: {error}")
    source = emit(program, "float64")
    for name in ("gil", "batch"):
        assert re.search(rf"\b[bsw]_q_{name}\b", source)
    assert "d_malloc" in source and not re.search(r"\bfree @|\bint\s*=", source)


def test_there_is_no_emission_rule_for_what_is_unknown(program):
    broken = Segment(10**6, "once", (replace(next(iter(program.phases["forward"].segments())), number=1),))
    phases = {**program.phases, "forward": replace(program.phases["forward"], actions=(broken,))}
    with pytest.raises((TypeError, AttributeError)):
        emit(replace(program, phases=phases), "float64")


def test_sums_down_a_column_go_row_by_row():
    source = emit(lower(load("fast_weights")), "float64", None, ["forward", "gradient"])
    rows = [part for part in source.split("cdef void ") if part.startswith("row_")]
    down, along = (f"[(i{a})*d_p + (i{b})]" for a, b in ((1, 0), (0, 1)))
    assert any("room[" in row and along in row for row in rows) and not any(down in row and "room[" in row for row in rows)
    assert sum(down in row for row in rows) == 2  # the gradients at keys and queries
