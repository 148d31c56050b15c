"""Expressions: Python's syntax tree -> nodes, by a whitelist. Anything not listed is an error with its place."""

from __future__ import annotations

import ast
import difflib
from collections.abc import Mapping

import sympy as sp

from derive import arrays
from derive.arithmetic import Abstract, Add, Apply, Div, MatMul, Mul, Neg, Pow, Transpose, Where
from derive.errors import RecurrenceError
from derive.functions import FUNCTIONS
from derive.limits import MAX_EXPONENT, MAX_LAG, Source
from derive.nodes import Kind, Node, Number, Quantity, T, Window, dim
from derive.operators import Step, subscript
from derive.reserved import RESERVED

RELATIONS = {ast.Lt: "<", ast.LtE: "<=", ast.Gt: ">", ast.GtE: ">=", ast.Eq: "==", ast.NotEq: "!="}
UNARY_ARRAYS = {
    "softmax": arrays.Softmax, "log_softmax": arrays.LogSoftmax, "logsumexp": arrays.LogSumExp, "sum": arrays.Sum, "mean": arrays.Mean,
    "norm2": arrays.Norm2, "diag": arrays.Diag, "transpose": Transpose, "layer_norm": arrays.LayerNorm, "each": arrays.Each,
}  # fmt: skip
BINARY_ARRAYS = {"dot": arrays.Dot, "outer": arrays.Outer, "cross_entropy": arrays.CrossEntropy}
FILLED = {"zeros": arrays.Zeros, "ones": arrays.Ones}
REFUSED = {
    ast.BitXor: "^ is not a power here; write a**2",
    ast.Mod: "% is not in the language",
    ast.FloorDiv: "// is not in the language; / divides",
}


class Expressions:
    """Turns syntax into nodes, given the quantities, abstract functions and lambdas of a file."""

    def __init__(self, source: Source, quantities: Mapping[str, Quantity], functions: tuple[str, ...], lambdas: Mapping[str, ast.Lambda],
                 dims: frozenset[str]) -> None:  # fmt: skip
        self.source, self.quantities, self.functions, self.lambdas, self.dims = source, quantities, functions, lambdas, dims
        self._bound: list[dict[str, Node]] = []

    def node(self, tree: ast.expr) -> Node:
        """The node of an expression. Raises RecurrenceError at the part that is wrong."""
        try:
            return self._visit(tree)
        except RecurrenceError as error:
            raise error.at(self.source.where(tree)) from None

    def _visit(self, tree: ast.expr) -> Node:
        match tree:
            case ast.Constant(value=bool()) | ast.Constant(value=str()) | ast.Constant(value=None) | ast.Constant(value=complex()):
                raise self.source.error(tree, f"{ast.unparse(tree)[:40]} is not a number", "numbers are written 2, 0.5 or 1e-3")
            case ast.Constant(value=int() | float()):
                return Number(self.source.decimal(tree))
            case ast.Name():
                return self._name(tree)
            case ast.BinOp():
                return self._binary(tree)
            case ast.UnaryOp(op=ast.USub()):
                return Neg(self.node(tree.operand))
            case ast.UnaryOp(op=ast.UAdd()):
                return self.node(tree.operand)
            case ast.Attribute(attr="T"):
                return Transpose(self.node(tree.value))
            case ast.Attribute():
                raise self.source.error(tree, f".{tree.attr[:40]} is not in the language", "the only attribute is .T, the transpose")
            case ast.Subscript():
                return self._subscript(tree)
            case ast.Call():
                return self._call(tree)
            case ast.Compare():
                raise self.source.error(tree, "a comparison stands only inside where(…)", "write where(a > b, x, y)")
        raise self.source.error(tree, f"{type(tree).__name__} is not in the language", "see docs/language.md for the expressions there are")

    def _name(self, tree: ast.Name) -> Node:
        name = tree.id
        for scope in reversed(self._bound):
            if name in scope:
                return scope[name]
        if self._bound and name not in self.dims and name != "T":
            raise self.source.error(tree, f"{name} is not an argument of the lambda", "a lambda reads its arguments only")
        if name in self.quantities:
            return self.quantities[name]
        if name == "T":
            return Number(T)
        if name in self.dims:
            return Number(dim(name))
        if name == "t":
            raise self.source.error(tree, "t is the step and has no value", "it stands only inside brackets, as in h[t-1]")
        if name in RESERVED or name in self.functions or name in self.lambdas:
            raise self.source.error(tree, f"{name} is a function", f"write {name}(…)")
        near = difflib.get_close_matches(name, [*self.quantities, *self.dims], 1, 0.6)
        hint = f"did you mean {near[0]}? otherwise " if near else ""
        raise self.source.error(
            tree, f"{name} is not declared, and its shape does not follow from here",
            f"{hint}declare it with a line such as {name}: scalar, {name}: n or {name}: (n, m)",
        )  # fmt: skip

    def _binary(self, tree: ast.BinOp) -> Node:
        if isinstance(tree.op, (ast.Add, ast.Sub)):
            return self._sum(tree)
        if isinstance(tree.op, ast.Pow):
            return self._power(tree)
        build = {ast.Mult: Mul, ast.Div: Div, ast.MatMult: MatMul}.get(type(tree.op))
        if build is None:
            place = ast.copy_location(ast.Constant(0), tree)
            raise self.source.error(place, REFUSED.get(type(tree.op), f"{type(tree.op).__name__} is not in the language"))
        left, right = self.node(tree.left), self.node(tree.right)
        if build is Mul:
            same_row = isinstance(tree.left, ast.BinOp) and isinstance(tree.left.op, ast.Mult)
            return Mul(*(left.args if same_row and isinstance(left, Mul) else (left,)), right)
        return build(left, right)

    def _sum(self, tree: ast.BinOp) -> Node:
        terms: list[Node] = []
        left: ast.expr = tree
        chain: list[ast.BinOp] = []
        while isinstance(left, ast.BinOp) and isinstance(left.op, (ast.Add, ast.Sub)):
            chain.append(left)
            left = left.left
        terms.append(self.node(left))
        for part in reversed(chain):
            right = self.node(part.right)
            terms.append(Neg(right) if isinstance(part.op, ast.Sub) else right)
        try:
            return Add(*terms)
        except RecurrenceError as error:
            raise error.at(self.source.where(tree)) from None

    def _power(self, tree: ast.BinOp) -> Node:
        exponent = self._exponent(tree.right)
        return Pow(self.node(tree.left), Number(exponent))

    def _exponent(self, tree: ast.expr) -> sp.Rational:
        match tree:
            case ast.UnaryOp(op=ast.USub()):
                return -self._exponent(tree.operand)
            case ast.Constant(value=int() | float()) if not isinstance(tree.value, bool):
                value = sp.Rational(str(self.source.decimal(tree)))
            case ast.BinOp(op=ast.Div(), left=ast.Constant(value=int()), right=ast.Constant(value=2)):
                value = sp.Rational(tree.left.value, 2)
            case _:
                raise self.source.error(tree, "an exponent is a number", "write exp(b*log(a)) for a power that varies")
        if abs(value) > MAX_EXPONENT or not (2 * value).is_Integer:
            raise self.source.error(tree, f"the exponent {value} is not allowed", f"exponents are integers up to {MAX_EXPONENT}, or 0.5")
        return value

    # -- reads and slices

    def _subscript(self, tree: ast.Subscript) -> Node:
        base = tree.value
        if isinstance(base, ast.Name) and base.id in self.quantities and self.quantities[base.id].kind == Kind.TIMED and not self._bound:
            return self._step(tree, self.quantities[base.id])
        if isinstance(base, ast.Name) and base.id == "steps":
            raise self.source.error(tree, "steps[…] stands only in sum(… for t in steps[…]) and within(…, steps[…])")
        axes = tree.slice.elts if isinstance(tree.slice, ast.Tuple) else [tree.slice]
        operand = self.node(base)
        if len(axes) != len(operand.shape):
            raise self.source.error(tree, f"{operand.source()} takes {len(operand.shape)} indices of components, not {len(axes)}",
                                    "time comes first, as in z[t][0:n]" if not operand.shape else "")  # fmt: skip
        return subscript(operand, tuple(self._axis(axis) for axis in axes))

    def _axis(self, tree: ast.expr) -> object:
        if not isinstance(tree, ast.Slice):
            return self._bound_value(tree)
        if tree.step is not None:
            raise self.source.error(tree.step, "slices have no stride")
        return slice(*(None if part is None else self._bound_value(part) for part in (tree.lower, tree.upper)))

    def _bound_value(self, tree: ast.expr) -> sp.Expr:
        return self.dimension(tree, signed=True)

    def dimension(self, tree: ast.expr, signed: bool = False) -> sp.Expr:
        """A dim: names, integers, their sums and products (differences too, for bounds)."""
        match tree:
            case ast.Constant(value=int()) if not isinstance(tree.value, bool):
                return sp.Integer(int(self.source.decimal(tree)))
            case ast.Name() if tree.id not in RESERVED and tree.id not in self.quantities:
                return dim(tree.id)
            case ast.BinOp(op=ast.Add()):
                return self.dimension(tree.left, signed) + self.dimension(tree.right, signed)
            case ast.BinOp(op=ast.Mult()):
                return self.dimension(tree.left, signed) * self.dimension(tree.right, signed)
            case ast.BinOp(op=ast.Sub()) if signed:
                return self.dimension(tree.left, signed) - self.dimension(tree.right, signed)
            case ast.UnaryOp(op=ast.USub()) if signed:
                return -self.dimension(tree.operand, signed)
        raise self.source.error(tree, f"{ast.unparse(tree)[:60]} is not a dim", "dims are names, integers, and their sums and products")

    def _step(self, tree: ast.Subscript, quantity: Quantity) -> Node:
        index = tree.slice
        offset, anchor = self._offset(index)
        if anchor == "t":
            if abs(offset) > MAX_LAG:
                raise self.source.error(index, f"the lag {offset} is too long", f"lags go up to {MAX_LAG}")
            return subscript(quantity, Step(offset))
        return subscript(quantity, T + offset if anchor == "T" else sp.Integer(offset))

    def _offset(self, tree: ast.expr) -> tuple[int, str]:
        match tree:
            case ast.Name(id="t" | "T"):
                return 0, tree.id
            case ast.Constant(value=int()) if not isinstance(tree.value, bool):
                return int(self.source.decimal(tree)), ""
            case ast.UnaryOp(op=ast.USub(), operand=ast.Constant(value=int())):
                return -int(self.source.decimal(tree.operand)), ""
            case ast.BinOp(op=ast.Add() | ast.Sub(), left=ast.Name(id="t" | "T"), right=ast.Constant(value=int())):
                shift = int(self.source.decimal(tree.right))
                return shift if isinstance(tree.op, ast.Add) else -shift, tree.left.id
        raise self.source.error(tree, f"[{ast.unparse(tree)[:60]}] is not a step",
                                "steps are [t], [t-1], [t+2] with a whole number, or fixed: [1], [T], [T-1]; components come after: h[t][0:n]")  # fmt: skip

    def window(self, tree: ast.expr) -> Window:
        """`steps` or `steps[a:b]`."""
        match tree:
            case ast.Name(id="steps"):
                return Window()
            case ast.Subscript(value=ast.Name(id="steps"), slice=ast.Slice(step=None)):
                bounds = [None if b is None else self._offset(b) for b in (tree.slice.lower, tree.slice.upper)]
                if all(b is None or not b[1] for b in bounds):
                    return Window(*(None if b is None else b[0] for b in bounds))
        raise self.source.error(tree, f"{ast.unparse(tree)[:60]} is not a range of steps", "write steps, steps[-3:] or steps[1:5], without stride")

    # -- calls

    def _call(self, tree: ast.Call) -> Node:
        if not isinstance(tree.func, ast.Name):
            raise self.source.error(tree.func, f"{ast.unparse(tree.func)[:60]} cannot be called", "only functions of the language are called, by name")
        name = tree.func.id
        if tree.keywords or any(isinstance(arg, ast.Starred) for arg in tree.args):
            raise self.source.error(tree, f"{name} takes plain arguments only", "leave out names and stars")
        if name in self.lambdas:
            return self._inline(tree, self.lambdas[name])
        if name in self.functions:
            return Abstract(name, 0, self._arguments(tree, 1)[0])
        special = getattr(self, f"_call_{name}", None) if name in RESERVED else None
        if special is not None:
            return special(tree)
        if name in FUNCTIONS:
            return Apply(name, *self._arguments(tree, FUNCTIONS[name].arity))
        if name in UNARY_ARRAYS:
            return UNARY_ARRAYS[name](*self._arguments(tree, 1))
        if name in BINARY_ARRAYS:
            return BINARY_ARRAYS[name](*self._arguments(tree, 2))
        if name in FILLED:
            return FILLED[name](*(self.dimension(arg) for arg in tree.args))
        if name in ("onehot", "stop_gradient", "surrogate"):
            raise self.source.error(tree, f"{name} is not available yet")
        near = difflib.get_close_matches(name, [*RESERVED, *self.lambdas, *self.functions], 1, 0.6)
        hint = f"did you mean {near[0]}? otherwise " if near else ""
        raise self.source.error(tree.func, f"{name} is not a function of the language",
                                f"{hint}define it: {name} = lambda u: …, or leave it abstract: {name}: function")  # fmt: skip

    def _arguments(self, tree: ast.Call, count: int) -> list[Node]:
        if len(tree.args) != count:
            name = tree.func.id  # type: ignore[attr-defined]
            raise self.source.error(tree, f"{name} takes {count} argument{'s' if count > 1 else ''}, not {len(tree.args)}")
        return [self.node(arg) for arg in tree.args]

    def _call_sum(self, tree: ast.Call) -> Node:
        if len(tree.args) == 1 and isinstance(tree.args[0], ast.GeneratorExp):
            generator = tree.args[0]
            (clause, *more) = generator.generators
            if more or clause.ifs or clause.is_async or not (isinstance(clause.target, ast.Name) and clause.target.id == "t"):
                raise self.source.error(tree, "a sum over time has one clause", "write sum(… for t in steps) or steps[a:b]")
            return arrays.TimeSum(self.node(generator.elt), self.window(clause.iter))
        return arrays.Sum(*self._arguments(tree, 1))

    def _call_within(self, tree: ast.Call) -> Node:
        if len(tree.args) != 2:
            raise self.source.error(tree, "within takes an expression and a range of steps", "write within(e[t], steps[-3:])")
        return arrays.Within(self.node(tree.args[0]), self.window(tree.args[1]))

    def _call_where(self, tree: ast.Call) -> Node:
        compare = tree.args[0] if tree.args else None
        if len(tree.args) != 3 or not isinstance(compare, ast.Compare) or len(compare.ops) != 1 or type(compare.ops[0]) not in RELATIONS:
            raise self.source.error(tree, "where takes one comparison and two values", "write where(a > b, x, y)")
        operands = [compare.left, compare.comparators[0], *tree.args[1:]]
        return Where(RELATIONS[type(compare.ops[0])], *(self.node(operand) for operand in operands))

    def _call_concat(self, tree: ast.Call) -> Node:
        return arrays.Concat(*(self.node(arg) for arg in tree.args)) if tree.args else self._arguments(tree, 2)[0]

    def _call_eye(self, tree: ast.Call) -> Node:
        return arrays.Eye(*(self.dimension(arg) for arg in tree.args[:1])) if len(tree.args) == 1 else self._arguments(tree, 1)[0]

    def _call_pad(self, tree: ast.Call) -> Node:
        if len(tree.args) not in (3, 5):
            raise self.source.error(tree, "pad takes an array, and a start and a size for each axis", "write pad(v, 0, 2*n)")
        numbers = [self.dimension(arg, signed=True) for arg in tree.args[1:]]
        return arrays.Pad(self.node(tree.args[0]), sp.Tuple(*(sp.Tuple(*numbers[i : i + 2]) for i in range(0, len(numbers), 2))))

    def _call_slope(self, tree: ast.Call) -> Node:
        if len(tree.args) not in (2, 3) or not isinstance(tree.args[0], ast.Name) or tree.args[0].id not in self.functions:
            raise self.source.error(tree, "slope takes a declared function, its argument and an order", "write slope(f, z[t])")
        order = int(self.dimension(tree.args[2])) if len(tree.args) == 3 else 1
        return Abstract(tree.args[0].id, order, self.node(tree.args[1]))

    def _inline(self, tree: ast.Call, function: ast.Lambda) -> Node:
        names = [argument.arg for argument in function.args.args]
        values = [arrays.Argument(value) for value in self._arguments(tree, len(names))]
        if len(self._bound) > 20:
            raise self.source.error(tree, "lambdas call each other in a circle", "a lambda may call only those it does not come back to")
        self._bound.append(dict(zip(names, values, strict=True)))
        try:
            return self.node(function.body)
        finally:
            self._bound.pop()
