"""Dialects: how JAX and PyTorch write what a reference is made of. Nothing here knows which recurrence is written."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

FORMS = (
    "joined", "split", "where", "zeros", "none", "arange", "sum", "spread", "permuted", "held", "highest", "number", "outer", "head",
)  # fmt: skip
COMMON = ("tanh", "exp", "log", "sqrt", "sin", "cos", "abs", "sign", "maximum", "minimum")


@dataclass(frozen=True, slots=True)
class Scan:
    """A loop over steps, in names and expressions of the reference.

    number: tells loops apart; backward: from the last step to the first; state: (name, what it begins with, what follows it);
    inputs: (name within a step, array over all steps); body: the lines of a step; outputs: (array over all steps, name within a step).
    """

    number: int
    backward: bool
    state: Sequence[tuple[str, str, str]]
    inputs: Sequence[tuple[str, str]]
    body: Sequence[str]
    outputs: Sequence[tuple[str, str]]
    unroll: int


@dataclass(frozen=True, slots=True)
class Dialect:
    """A framework's words: its imports, its array module, and its names of functions."""

    name: str
    imports: str
    module: str
    functions: Mapping[str, str]
    templates: Mapping[str, str]

    def call(self, function: str, *arguments: str) -> str:
        """An elementwise function of arrays."""
        return f"{self.functions[function]}({', '.join(arguments)})"

    def form(self, template: str, **parts: object) -> str:
        """One of the other forms: see `FORMS`."""
        return self.templates[template].format(**parts)

    def scan(self, loop: Scan) -> list[str]:
        """The lines of a loop."""
        return (_jax_scan if self.name == "jax" else _torch_loop)(loop)


def _tuple(parts: Sequence[str]) -> str:
    return f"({', '.join(parts)}{',' if len(parts) == 1 else ''})"


def _unpacked(names: Sequence[str], source: str) -> list[str]:
    return [f"{', '.join(names)}{',' if len(names) == 1 else ''} = {source}"] if names else []


def _jax_scan(loop: Scan) -> list[str]:
    """`jax.lax.scan`, whose state and outputs are tuples."""
    names, starts, following = ([part[place] for part in loop.state] for place in range(3))
    body = [*_unpacked(names, "state"), *_unpacked([name for name, _ in loop.inputs], "now"), *loop.body]
    body.append(f"return {_tuple(following)}, {_tuple([name for _, name in loop.outputs])}")
    inputs = _tuple([array for _, array in loop.inputs]) if loop.inputs else "None"
    how = (", reverse=True" if loop.backward else "") + (f", unroll={loop.unroll}" if loop.unroll > 1 else "")
    step = f"step_{loop.number}"
    found = _tuple([array for array, _ in loop.outputs])
    return [
        "",
        f"def {step}(state, now):",
        *(f"    {line}" for line in body),
        "",
        f"_, {found} = jax.lax.scan({step}, {_tuple(starts)}, {inputs}, length=T{how})",
    ]


def _torch_loop(loop: Scan) -> list[str]:
    """A loop of Python's; steps are taken apart once, so that their gradients are put together once."""
    lines = [f"{name} = {start}" for name, start, _ in loop.state]
    lines += [f"list_{array} = []" for array, _ in loop.outputs]
    steps = [f"{array}.unbind(0)" for _, array in loop.inputs]
    if steps:
        source = f"zip({', '.join(steps)})" if len(steps) > 1 else steps[0]
        source = f"reversed({f'list({source})' if len(steps) > 1 else source})" if loop.backward else source
        lines.append(f"for {', '.join(name for name, _ in loop.inputs)} in {source}:")
    else:
        lines.append("for _ in range(T):")
    body = [*loop.body, *(f"list_{array}.append({name})" for array, name in loop.outputs)]
    if loop.state:
        body += _unpacked([name for name, _, _ in loop.state], ", ".join(following for _, _, following in loop.state))
        body[-1] = body[-1].replace(", = ", " = ", 1) if len(loop.state) == 1 else body[-1]
    lines += [f"    {line}" for line in body]
    order = "[::-1]" if loop.backward else ""
    return [*lines, *(f"{array} = torch.stack(list_{array}{order})" for array, _ in loop.outputs)]


JAX = Dialect(
    "jax",
    "import jax\nimport jax.numpy as jnp",
    "jnp",
    {name: f"jnp.{name}" for name in COMMON}
    | {"atan": "jnp.arctan", "sigmoid": "jax.nn.sigmoid", "softplus": "jax.nn.softplus", "relu": "jax.nn.relu"}
    | {"erf": "jax.scipy.special.erf", "gelu": "exact_gelu"},
    {
        "joined": "jnp.concatenate([{parts}], axis={axis})",
        "split": "jnp.split({array}, [{bounds}], axis=-1)",
        "where": "jnp.where({condition}, {yes}, {no})",
        "zeros": "jnp.zeros(({shape}), DTYPE)",
        "none": "jnp.full(({shape}), -1)",
        "arange": "jnp.arange({stop})",
        "sum": "jnp.sum({array}, axis={axes})",
        "spread": "jnp.broadcast_to({array}, ({shape}))",
        "permuted": "jnp.transpose({array}, {order})",
        "held": "jax.lax.stop_gradient({array})",
        "highest": "jax.lax.stop_gradient(jnp.max({array}, axis={axes}))",
        "number": "jnp.asarray({value}, DTYPE)",
        "outer": "jnp.einsum({spec!r}, {left}, {right})",
        "head": "DTYPE = jnp.{dtype}\nexact_gelu = functools.partial(jax.nn.gelu, approximate=False)",
    },
)

TORCH = Dialect(
    "torch",
    "import torch",
    "torch",
    {name: f"torch.{name}" for name in COMMON}
    | {"atan": "torch.atan", "sigmoid": "torch.sigmoid", "softplus": "exact_softplus", "relu": "torch.relu", "erf": "torch.erf"}
    | {"gelu": "torch.nn.functional.gelu"},
    {
        "joined": "torch.cat([{parts}], dim={axis})",
        "split": "torch.tensor_split({array}, [{bounds}], dim=-1)",
        "where": "torch.where({condition}, {yes}, {no})",
        "zeros": "torch.zeros(({shape}), dtype=DTYPE)",
        "none": "torch.full(({shape}), -1)",
        "arange": "torch.arange({stop})",
        "sum": "torch.sum({array}, dim={axes})",
        "spread": "({array}).expand({shape})",
        "permuted": "({array}).permute({order})",
        "held": "({array}).detach()",
        "highest": "torch.amax({array}, dim={axes}).detach()",
        "number": "torch.tensor({value}, dtype=DTYPE)",
        "outer": "torch.einsum({spec!r}, {left}, {right})",
        "head": "DTYPE = torch.{dtype}\nexact_softplus = functools.partial(torch.nn.functional.softplus, threshold=60.0)",
    },
)

DIALECTS = {"jax": JAX, "torch": TORCH}
