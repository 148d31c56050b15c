"""`retrograd derive --product`: products with a direction as recurrences, and options that do not go together."""

import pytest

import derive
from derive.language import parse
from tests.codegen.command_line import refused, run

PRINTED = {
    ("--product", "jvp"): (derive.jacobian_product, "# tangent of y"),
    ("--product", "hvp"): (derive.hessian_product, "# Hessian times direction, at W"),
    ("--product", "gnvp", "--at", "y"): (lambda r: derive.gauss_newton_product(r, "y"), "# Gauss-Newton matrix times direction, at W"),
}


@pytest.mark.parametrize("options", PRINTED)
def test_a_product_is_printed_as_a_recurrence(options, tmp_path):
    derived, line = PRINTED[options]
    printed = run("derive", "elman", *options).stdout
    assert printed == derived(derive.load("elman")).to_rec() and line in printed
    assert parse(printed).named.keys() >= {"W_dot", "h_dot"}
    assert run("derive", "elman", *options, "--format", "rec").stdout == printed
    assert run("derive", "elman", *options, "-o", tmp_path / "product.rec").exit_code == 0
    assert (tmp_path / "product.rec").read_text() == printed


@pytest.mark.parametrize(("options", "said"), [
    (("--product", "gnvp"), "--product gnvp needs the signal between network and loss; name it, as in --at y"),
    (("--product", "hvp", "--at", "y"), "--at says where network and loss part, for --product gnvp"),
    (("--at", "y"), "--at says where network and loss part, for --product gnvp"),
    (("--product", "hvp", "--format", "latex"), "a product is written as a recurrence, not as latex; use --format rec"),
    (("--product", "hvp", "-o", "product.html"), "not as html"),
    (("--product", "gnvp", "--at", "h"), "the objective depends on V other than through h[t]: E reads V"),
    (("--product", "hessian"), "'hessian' is not one of 'jvp', 'hvp', 'gnvp'"),
])  # fmt: skip
def test_what_does_not_go_together_is_refused(options, said, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert said in refused("derive", "elman", *options)
    assert list(tmp_path.iterdir()) == []
