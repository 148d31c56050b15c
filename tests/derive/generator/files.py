"""Whole random files: declarations, statements, an objective; and several files as one."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from generator.constraints import constrain
from generator.expressions import Known, Shape, Writer, dims_of
from generator.statements import signal
from generator.vocabulary import FUNCTION, LAMBDAS, SEQUENCE, SHARED, TIMED, WINDOWS

INPUTS: tuple[tuple[str, Shape], ...] = (("x", ("m",)), ("w", ()), ("X", ("n", "m")), ("Y", ("m", "m")))
NEEDED = ("x0", "C0", "T1")  # each dim is that of an argument


@dataclass(frozen=True)
class Generated:
    """A random recurrence: its text, the parts of it, and whether a complex step may pass."""

    text: str
    lines: tuple[str, ...]
    aim: str
    analytic: bool


def _declarations(w: Writer) -> None:
    """Everything a caller may give: inputs with and without time, indexes, constants, some parameters."""
    g = w.tag

    def add(line: str, name: str, shape: Shape, kind: str, **more: object) -> None:
        w.lines.append(line)
        w.known.append(Known(name, shape, kind, **more))

    for stem, shape in INPUTS:
        name = f"{stem}0{g}"
        add(f"{name}[t]: {dims_of(shape)}", name, shape, TIMED, lags=(0, 0, -1, 2), outside=("0", "T+1"))
    for number, d in enumerate("mn"):
        name = f"c{number}{g}"
        add(f"{name}[t]: index[{d}]", name, (d,), TIMED, lags=(0, 0, -1, 2), outside=("0", "-1", "T+1"), index=True)
    add(f"u0{g}: input[n]", f"u0{g}", ("n",), SEQUENCE)
    add(f"u1{g}: input", f"u1{g}", (), SEQUENCE)
    add(f"U0{g}: input[m, k]", f"U0{g}", ("m", "k"), SEQUENCE)
    add(f"C0{g}: const[n]", f"C0{g}", ("n",), SHARED)
    add(f"C1{g}: const[n, m]", f"C1{g}", ("n", "m"), SHARED)
    add(f"C2{g}: const = 0.3", f"C2{g}", (), SHARED)
    add(f"C3{g}: const", f"C3{g}", (), SHARED)
    add(f"T0{g}: (n, m)", f"T0{g}", ("n", "m"), SHARED)
    add(f"T1{g}: k", f"T1{g}", ("k",), SHARED)


COSTS = {
    TIMED: ("sum({0}({1}[t]) for t in {2})", "{0}(sum({1}[t] for t in {2}))", "{0}({1}[T])*sum({0}({1}[t]) for t in {2})"),
    SEQUENCE: ("{0}({1})",),
    SHARED: ("{0}({1})",),
}


def _costs(w: Writer) -> list[str]:
    """A cost for everything that has an equation and that nothing further down reads."""
    idle = [k for k in w.known if k.name.startswith("s") and not re.search(rf"\b{k.name}\b", _below(w.lines, k.name))]
    cost = lambda k: w.choice(["norm2", "mean", "sum"]) if k.shape else w.choice(["sin", "tanh"])  # noqa: E731
    return [str(w.choice(COSTS[k.kind])).format(cost(k), k.name, w.choice(["steps", "steps[1:]", "steps[-2:]"])) for k in idle]


def _below(lines: list[str], name: str) -> str:
    """The right sides below the equations of a name."""
    own = [place for place, line in enumerate(lines) if re.match(rf"{name}\b", line)]
    return " ".join(line.split("=", 1)[-1] for line in lines[own[-1] + 1 :])


def _objective(w: Writer) -> str:
    """Costs of each step, functions and products of sums over time, values at fixed steps, penalties."""
    terms = [*_costs(w), f"sum({w.expression((), TIMED, 2)} for t in {w.choice(WINDOWS)})"]
    terms += [w.expression((), SEQUENCE, 3)] if w.chance(0.6) else []
    terms += [f"sum({w.expression((), TIMED, 1)} for t in steps)*{w.expression((), SEQUENCE, 2)}"] if w.chance(0.2) else []
    terms += [w.expression((), SHARED, 2)] if w.chance(0.3) else []
    terms += [f"0.1*norm2(T0{w.tag})"] if w.chance(0.3) else []
    return " + ".join(terms)


def generate(seed: int, analytic: bool = True, abstract: bool = False, tag: str = "", budget: int = 70) -> Generated:
    """The recurrence of a seed.

    budget: how many forms of expression it may have; abstract: with a function, and sometimes the objective, left abstract;
    tag: an ending of all names.
    """
    w = Writer(np.random.default_rng([seed, 7]), analytic, abstract, tag, budget)
    _declarations(w)
    declared = len(w.lines)
    for _ in range(int(w.rng.integers(1, 5 if budget > 30 else 3))):
        signal(w)
    bound = constrain(w) if w.chance(0.2) else ""
    aim = "..." if abstract and w.chance(0.4) else " + ".join([_objective(w), *([bound] if bound else [])])
    sense = w.choice(["minimize", "maximize"])
    body = [*w.lines, f"E = {sense}({aim})"]
    used = re.findall(r"\w+", " ".join(body[declared:]))
    keep = [line for line in body[:declared] if re.match(r"\w+", line)[0] in used or line.startswith(NEEDED)]
    lines = [*([FUNCTION] if abstract else []), *LAMBDAS, *keep, *body[declared:]]
    if w.chance(0.25):
        lines = [lines[place] for place in w.rng.permutation(len(lines))]
    title = ['"""A random recurrence."""'] if w.chance(0.2) else []
    return Generated("\n".join([*title, *lines]) + "\n", tuple(w.lines), aim, analytic)


def merged(seeds: Iterable[int], analytic: bool = False) -> str:
    """One text that holds the recurrences of several seeds, each with names of its own, their objectives added."""
    parts = [generate(seed, analytic, tag=f"_{seed}") for seed in seeds]
    lines = [*LAMBDAS, *(line for part in parts for line in part.lines)]
    return "\n".join([*lines, f"E = minimize({' + '.join(part.aim for part in parts)})"]) + "\n"
