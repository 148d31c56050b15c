"""Products: Recurrence and the name of a product with a direction -> Program, whose only phase computes it."""

from __future__ import annotations

from dataclasses import replace

from codegen.lower import Lowering, check_concrete
from codegen.lower.sizes import as_size
from codegen.lower.statements import KINDS
from codegen.lower.streams import state
from codegen.program import Buffer, Program
from codegen.schedule import schedule
from codegen.second_order import DIRECTION, PRODUCT
from codegen.streaming import Streaming
from derive.gauss_newton import gauss_newton_product
from derive.normal import normalise
from derive.products import Product, hessian_product, jacobian_product
from derive.recurrence import Recurrence

WHOLE = "a product with a direction is one of whole sequences"
DERIVED = {"jvp": jacobian_product, "hvp": hessian_product}


def lower_product(recurrence: Recurrence, name: str) -> Program:
    """Derive and lower a product. name: `jvp`, `hvp`, or `gnvp` followed by the signals between network and loss.

    Its arguments are those of the recurrence and a direction for each that has a gradient, zero where left out.
    Raises: RecurrenceError as the derivation does, and for what has no value.
    """
    check_concrete(recurrence)
    kind, *at = name.split()
    product = gauss_newton_product(recurrence, at) if kind == "gnvp" else DERIVED[kind](recurrence)
    program, drafts = Lowering(product.recurrence, product.recurrence, {}).draft()
    own = normalise(recurrence)
    aim = recurrence.objective.name if recurrence.objective else None
    found = program.results["forward"]
    results = {PRODUCT.format(label): found[quantity.name] for label, quantity in product.results.items()}
    if aim in product.results:
        results[aim] = found[aim]
    directions = {DIRECTION.format(label): 0.0 for label in (target.source() for target in own.free)}
    named = replace(
        program, name=recurrence.name, buffers=_labelled(program, product), results={"forward": results},
        objective=aim if aim in results else None, defaults={**program.defaults, **directions},
        least=Lowering(recurrence, own, {}).least(), losses=(None, None),
    )  # fmt: skip
    scheduled = schedule(named, drafts)
    before = [entry for entry in state(own, {q: f"q_{q.name}" for q in own.quantities}) if entry[1] in scheduled.buffers]
    return replace(scheduled, streaming=Streaming(WHOLE, tuple(before), windowless=WHOLE, untruncated=WHOLE))


def _labelled(program: Program, product: Product) -> dict[str, Buffer]:
    """The buffers under the names that the caller knows: the recurrence's own, directions and results; directions that have no part in the
    product are arguments all the same."""  # noqa: D205, D209
    source = product.source
    labels = {label: label for label in (*source.named, *(ghost.source() for ghost in source.arguments))}
    labels |= {target.source(): DIRECTION.format(label) for label, target in product.directions.items()}
    labels |= {quantity.name: PRODUCT.format(label) for label, quantity in product.results.items()}
    buffers = {name: replace(buffer, label=labels.get(buffer.label, "")) for name, buffer in program.buffers.items()}
    for target in source.free:
        label = DIRECTION.format(target.source())
        if target.source() not in product.directions:
            name = f"u{len(buffers)}"
            buffers[name] = Buffer(name, label, KINDS[target.kind], tuple(as_size(size) for size in target.shape), "argument")
    return buffers
