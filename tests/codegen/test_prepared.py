"""Prepared calls: the same bits as the long way, and whatever is out of the ordinary left to it."""

from dataclasses import replace

import numpy as np
import pytest
from oracles import stock_layouts

from codegen.prepared import Prepared, Unit
from tests.codegen.kernel_cases import same


def prepared(kernel):
    return [plan for plan in kernel.plans.values() if isinstance(plan, Prepared)]


def fresh(kernel):
    """The same kernel, which has seen no call."""
    return replace(kernel, plans={})


@pytest.mark.parametrize("name", ["elman", "lstm", "gru", "bidirectional", "fast_weights", "deep", "spiking"])
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_a_call_of_sizes_seen_before_gives_the_same_bits(compiled, name, dtype):
    kernel, other = fresh(compiled(name, dtype)), fresh(compiled(name, dtype))
    kernel.value_and_grad({k: a.astype(dtype) for k, a in stock_layouts.draw(name, seed=1).items()})
    values = {k: a.astype(dtype) for k, a in stock_layouts.draw(name, seed=2).items()}
    wanted, found = other.value_and_grad(values), kernel.value_and_grad(values)
    assert found[0] == wanted[0] and type(found[0]) is type(wanted[0]) and same(found[1], wanted[1])
    assert list(found[1]) == list(wanted[1])
    assert len(prepared(kernel)) == 1


def test_results_are_not_written_over_by_the_next_call(compiled):
    kernel = fresh(compiled("elman"))
    values = [stock_layouts.draw("elman", seed=s) for s in range(3)]
    found = [kernel.value_and_grad(each) for each in values]
    again = [fresh(kernel).value_and_grad(each) for each in values]
    assert all(a[0] == b[0] and same(a[1], b[1]) for a, b in zip(found, again, strict=True))


def test_other_memory_gives_the_same_bits(compiled):
    kernel, values = fresh(compiled("elman")), stock_layouts.draw("elman", seed=4)
    kernel.value_and_grad(values)
    wanted = kernel.value_and_grad(values)
    unaligned = np.frombuffer(b"\0" + values["W"].tobytes(), np.uint8)[1:].view(np.float64).reshape(values["W"].shape)
    for other in (np.asfortranarray(values["W"]), unaligned, values["W"].tolist()):
        found = kernel.value_and_grad({**values, "W": other})
        assert found[0] == wanted[0] and same(found[1], wanted[1])


def test_errors_are_those_of_the_first_call(compiled):
    kernel, values = fresh(compiled("elman")), stock_layouts.draw("elman", seed=4)
    for _ in range(2):
        kernel.value_and_grad(values)
    broken = values["W"].copy()
    broken[1, 0] = np.nan
    with pytest.raises(ValueError, match=r"W is not finite at \(1, 0\)"):
        kernel.value_and_grad({**values, "W": broken})
    with pytest.raises(ValueError, match="W has shape"):
        kernel.value_and_grad({**values, "W": values["W"][:-1]})
    with pytest.raises(ValueError, match="takes no argument 'V2'"):
        kernel.value_and_grad({**values, "V2": values["W"]})
    with pytest.raises(ValueError, match="W is missing"):
        kernel.value_and_grad({label: array for label, array in values.items() if label != "W"})


@pytest.mark.parametrize("name", ["narx", "finite_response"])
def test_inputs_have_zeros_before_their_first_step(compiled, name):
    kernel, other = fresh(compiled(name)), fresh(compiled(name))
    kernel.value_and_grad(stock_layouts.draw(name, seed=4))
    values = stock_layouts.draw(name, seed=6)
    wanted, (plan,) = other.value_and_grad(values), prepared(kernel)
    assert plan.rooms
    for _ in range(3):
        found = kernel.value_and_grad(values)
        assert found[0] == wanted[0] and same(found[1], wanted[1])
    ahead = {**values, "x": np.concatenate([values["x"][1:], values["x"][:1]])}
    assert kernel.value_and_grad(ahead)[0] != wanted[0]


def test_lengths_take_the_long_way(compiled):
    kernel, values = fresh(compiled("narx")), stock_layouts.draw("narx", seed=4)
    steps, batch = next(array.shape[:2] for label, array in values.items() if array.ndim == 3)
    first = kernel.value_and_grad(values)
    second = kernel.value_and_grad({**values, "lengths": np.full(batch, steps)})
    assert first[0] == second[0] and same(first[1], second[1])


def test_a_table_of_another_size_gives_other_bits(compiled):
    kernel, values = fresh(compiled("elman")), stock_layouts.draw("elman", seed=4)
    wanted = kernel.value_and_grad(values)
    (key, plan), = ((key, plan) for key, plan in kernel.plans.items() if isinstance(plan, Prepared))  # fmt: skip
    kernel.plans[key] = replace(plan, labels=tuple("W" if label == "b" else label for label in plan.labels))
    assert kernel.value_and_grad(values)[0] != wanted[0]


@pytest.mark.parametrize("name", ["elman", "lstm", "bidirectional", "deep", "gru"])
def test_some_gradients_are_those_of_all_at_less_work(compiled, monkeypatch, name):
    kernel, values, run = fresh(compiled(name)), stock_layouts.draw(name, seed=5), []
    wanted, original = kernel.value_and_grad(values), Unit.run
    monkeypatch.setattr(Unit, "run", lambda self, *how: run.append(self.wanted) or original(self, *how))
    for label in wanted[1]:
        for _ in range(3):
            value, found = kernel.value_and_grad(values, wrt=[label])
            assert value == wanted[0] and list(found) == [label] and np.array_equal(found[label], wanted[1][label])
    part = [unit for unit in run if not all(unit)]
    assert part and len(prepared(kernel)) == 1 + len(wanted[1])


def test_what_a_gradient_needs_is_looked_up_by_its_label(compiled):
    """Sabotage: with the needs of another gradient, a gradient is not computed."""
    kernel, values = fresh(compiled("elman")), stock_layouts.draw("elman", seed=5)
    needs = kernel.program.needs["gradient"]
    wanted = kernel.value_and_grad(values)[1]
    wrong = replace(kernel, program=replace(kernel.program, needs={"gradient": {**needs, "x": needs["W"]}}), plans={})
    assert not np.array_equal(wrong.value_and_grad(values, wrt=["x"])[1]["x"], wanted["x"])
    assert np.array_equal(wrong.value_and_grad(values, wrt=["W"])[1]["W"], wanted["W"])
