"""Loops: one segment of a Program -> the lines of its function in Cython.

Statements become loops over raw pointers, over the rows of one thread or its share of a sum's components; products run in register
tiles.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from codegen.components import INDENT, Components
from codegen.element import Load, Piece
from codegen.printer import dim_values, fixed_step, product_text, size_text
from codegen.program import Buffer, Program, Segment, solves
from codegen.stages import Matrix, is_shared
from codegen.statements import Accumulate, Fill, Map, OuterSum, PickStep, Product, Read, Reduce, Statement
from codegen.traversal import elements, is_plain, plain, reads

FACTORS = {"left": "Factor", "right": "Factor", "pairs": "Pair", "terms": "Term"}  # arrays that calls are made with, and their types
ACTIVE = "active[t - 1] if active[t - 1] < r1 else r1"
ROWS_NOW = f"rows = {ACTIVE}"
STEPS_OF_THREAD = [
    "t0, t1 = begin + share(end - begin + 1, id, threads), begin + share(end - begin + 1, id + 1, threads) - 1", "r0, r1 = 0, batch",
]  # fmt: skip
ROWS_OF_THREAD = ["t0, t1, r0, r1 = begin, end, top, bottom"]


def packed_name(matrix: str, transposed: bool) -> str:
    """The variable of a matrix laid out for its products."""
    return f"{'wt' if transposed else 'w'}_{matrix}"


class SegmentLines:
    """One segment's function: declarations and body. back: sums go from the last step to the first; matrices: all that are laid out.
    Threads search for steady states each on its own, so the equations of one (`steady`) never wait for the others."""  # noqa: D205, D209

    def __init__(
        self, program: Program, order: Sequence[str], segment: Segment, fixed: Mapping[str, int], back: bool, matrices: Sequence[Matrix]
    ) -> None:
        self.fixed, self.back, self.matrices = fixed, back, matrices
        self.program, self.order, self.segment = program, order, segment
        self.shared = is_shared(segment, program.buffers)
        self.steady = any(s.segment.number == segment.number for p in program.phases.values() for a in p.actions for s in solves(a))
        self.buffers: Mapping[str, Buffer] = program.buffers
        self.components = Components(program, segment)
        self.factors = dict.fromkeys(FACTORS, 0)

    def describe(self) -> dict[str, object]:
        """What the template places."""
        body = self._body()
        used = sorted(
            {s.out for s in self.segment.statements} | {r.buffer for s in self.segment.statements for r in reads(s)}, key=self.order.index
        )
        return {
            "number": self.segment.number,
            "order": self.segment.order,
            "dims": dim_values(self.program.dims, self.fixed),
            "buffers": [(self.order.index(name) + 2, name, b.kind == "timed", b.below is not None) for name, b in self._named(used)],
            "windows": [f"w{n}" for n in range(self.components.windows)],
            "integers": [f"g{n}" for n in range(self.components.integers)],
            "packed": [(packed_name(*matrix), self.matrices.index(matrix)) for matrix in self._packed()],
            "factors": [(name, FACTORS[name], count) for name, count in self.factors.items() if count],
            "lines": body,
            "functions": self.components.functions,
        }

    def _named(self, names: Sequence[str]) -> list[tuple[str, Buffer]]:
        return [(name, self.buffers[name]) for name in names]

    def _packed(self) -> list[Matrix]:
        products = (s for s in self.segment.statements if isinstance(s, Product))
        return list(dict.fromkeys(factor[:2] for product in products for factor in product.factors))

    def _body(self) -> list[str]:
        order, groups = self.segment.order, self._groups()
        if self.shared:
            return self._shared_body(groups)
        if order in ("once", "step"):
            head = ["t = t0", "rows = r1" if order == "once" else ROWS_NOW]
            return head + [line for group in groups for line in self.components.zero(group[0]) + self._group(group)]
        if order == "sweep" and self.steady:
            return [line for group in groups for line in self.components.zero(group[0]) + self._sweep(group)]
        if order == "sweep":
            return self._spread(groups)
        lines = self._hoisted()
        steps = "range(t0, t1 + 1)" if order == "forward" else "range(t1, t0 - 1, -1)"
        inner = ["if stopped(call, id):", f"{INDENT}return", ROWS_NOW, *(line for group in groups for line in self._group(group))]
        return [*lines, f"for t in {steps}:", *(INDENT + line for line in inner)]

    def _spread(self, groups: Sequence[Sequence[Statement]]) -> list[str]:
        """A sweep, of which threads take steps instead of rows where there are more threads than rows."""
        lines: list[str] = []
        made, split = set[str](), False
        for group in groups:
            timed = all(self.buffers[statement.out].kind == "timed" for statement in group)
            if timed != split or made & {read.buffer for statement in group for read in reads(statement)}:
                meet = ["wait(call)", *(STEPS_OF_THREAD if timed else ROWS_OF_THREAD)]
                lines += ["if spread:", *(INDENT + line for line in meet)]
                made = set()
            made |= {statement.out for statement in group}
            split = timed
            lines += self.components.zero(group[0]) + self._sweep(group)
        return [*lines, "if spread:", f"{INDENT}wait(call)"] if split or made else lines

    def _hoisted(self) -> list[str]:
        """What is known before a loop, for all its steps, where the products of one have few rows."""
        lines = []
        for s in (s for s in self.segment.statements if isinstance(s, Product) and s.ahead):
            terms, wide = self._terms(s.factors[: s.ahead], "first"), product_text(self.buffers[s.out].shape)
            product = f"product(last - first, {wide}, terms, {s.ahead}, 0, {self._pointer(Read(s.out))} + first*{wide})"
            step = [f"first, last = r0, {ACTIVE}", *terms, product]
            whole = ["t, first, last = t0, share(batch*(t1 - t0 + 1), id, threads), share(batch*(t1 - t0 + 1), id + 1, threads)"]
            lines += ["if ragged:", f"{INDENT}for t in range(t0, t1 + 1):", *(INDENT * 2 + line for line in step)]
            lines += ["else:", *(INDENT + line for line in [*whole, *terms, product])]
        # Threads share all steps and rows here, so each waits for what the others know, and for what they make.
        return ["if few:", *(INDENT + line for line in ["wait(call)", *lines, "wait(call)"])] if lines else []

    def _shared_body(self, groups: Sequence[Sequence[Statement]]) -> list[str]:
        """Sums split their own components over the threads, which wait where one reads what another made."""
        lines, made = [], set[str]()
        for group in groups:
            if made & {read.buffer for statement in group for read in reads(statement)}:
                lines.append("wait(call)")
                made = set()
            made |= {statement.out for statement in group}
            own = self.components.zero(group[0]) + (self._sweep(group) if self.segment.order == "sweep" else self._group(group))
            lines += own if self.components.is_split(group[0]) else ["if id == 0:", *(INDENT + line for line in own)]
        return ["t = t0", "rows = r1", *lines]

    def _groups(self) -> list[list[Statement]]:
        """The statements in runs that share a loop: maps of one shape that read each other component by component.

        Sums of outer products share their factors, whose own sums come with them; they read nothing that is shared, so all can stand where
        the first does.
        """
        groups: list[list[Statement]] = []
        outer: list[Statement] = []
        factors = {s.left for s in self.segment.statements if isinstance(s, OuterSum)}
        summed = set[Read]()
        for statement in self.segment.statements:
            read = self._whole(statement)
            if isinstance(statement, OuterSum) or read in factors - summed:
                summed |= {read} - {None}
                outer.append(statement)
                if len(outer) == 1:
                    groups.append(outer)
            elif groups and self._joins(statement, groups[-1]):
                groups[-1].append(statement)
            else:
                groups.append([statement])
        outer.sort(key=lambda statement: isinstance(statement, Accumulate))
        return groups

    def _whole(self, statement: Statement) -> Read | None:
        """What a sum over all rows and steps adds as it stands, if anything."""
        if not isinstance(statement, Accumulate) or not isinstance(statement.element, Load) or statement.place:
            return None
        load, out = statement.element, self.buffers[statement.out]
        plainly = is_plain(load, out) and self.buffers[load.buffer].shape == out.shape
        return Read(load.buffer, load.lag) if plainly and self.back and statement.window in ((None, None), (0, None)) else None

    def _joins(self, statement: Statement, group: Sequence[Statement]) -> bool:
        first = self.buffers[group[0].out]
        out = self.buffers[statement.out]
        if not (isinstance(statement, Map) and isinstance(group[0], Map) and (out.kind, out.shape) == (first.kind, first.shape)):
            return False
        made = {other.out for other in group}
        if any(isinstance(e, Piece) and e.load.buffer in made for e in elements(statement.element)):
            return False
        loads = [e for e in elements(statement.element) if isinstance(e, Load) and e.buffer in made]
        return all(e == Load(e.buffer, 0, plain(out)) if not e.lag else self.segment.order != "sweep" for e in loads)

    # -- statements

    def _sweep(self, group: Sequence[Statement]) -> list[str]:
        statement = group[0]
        if isinstance(statement, OuterSum):
            return self._outer_sums(group, timed=True)  # type: ignore[arg-type]
        back = self.back and isinstance(statement, Accumulate)
        per_step = ["for t in range(t1, t0 - 1, -1):" if back else "for t in range(t0, t1 + 1):", INDENT + ROWS_NOW]
        per_step += [INDENT + line for line in self._group(group)]
        if not isinstance(statement, Product):
            return per_step
        whole = ["t = t0", "rows = batch*(t1 - t0 + 1)", *self._group(group)]
        return ["if ragged or r0 > 0 or r1 < batch:", *(INDENT + line for line in per_step), "else:", *(INDENT + line for line in whole)]

    def _group(self, group: Sequence[Statement]) -> list[str]:
        statement = group[0]
        match statement:
            case Map():
                return self.components.maps(group)  # type: ignore[arg-type]
            case Reduce():
                return self.components.reduce(statement)
            case Product():
                return self._product(statement)
            case OuterSum():
                return self._outer_sums(group, timed=False)  # type: ignore[arg-type]
            case Accumulate():
                return self.components.accumulate(statement, self.segment.order == "once")
            case PickStep():
                return self._pick(statement)
            case Fill():
                return self.components.fill(statement)
        raise TypeError(f"no emission rule for {type(statement).__name__}")

    def _pointer(self, read: Read) -> str:
        buffer = self.buffers[read.buffer]
        if buffer.kind != "timed":
            return f"b_{read.buffer}"
        lag = f" + {read.lag}" if read.lag > 0 else (f" - {-read.lag}" if read.lag else "")
        return f"b_{read.buffer} + (t - 1{lag})*s_{read.buffer}"

    def _product(self, statement: Product) -> list[str]:
        """Out (rows, n) = sum of operand (rows, m) @ matrix.T or, transposed, operand (rows, n) @ matrix."""
        wide, lines = product_text(self.buffers[statement.out].shape), self._terms(statement.factors, "r0")
        done = f"{statement.ahead} if few else 0" if statement.ahead else "0"
        return [*lines, f"product(rows - r0, {wide}, terms, {len(lines)}, {done}, {self._pointer(Read(statement.out))} + r0*{wide})"]

    def _terms(self, factors: Sequence[tuple[str, bool, Read]], row: str) -> list[str]:
        lines = []
        for place, (matrix, transposed, operand) in enumerate(factors):
            inner = size_text(self.buffers[matrix].shape[0 if transposed else 1])
            lines.append(f"terms[{place}] = term({inner}, {self._pointer(operand)} + {row}*{inner}, {packed_name(matrix, transposed)})")
        self.factors["terms"] = max(self.factors["terms"], len(lines))
        return lines

    def _outer_sums(self, together: Sequence[OuterSum | Accumulate], timed: bool) -> list[str]:
        """Sums over the same rows, whose factors are laid out once, and sums of these."""
        group = [s for s in together if isinstance(s, OuterSum)]
        sums = {self._whole(s): f"b_{s.out}" for s in together if isinstance(s, Accumulate)}
        lefts, rights = (list(dict.fromkeys(getattr(s, side) for s in group)) for side in ("left", "right"))
        lines = ["t = t0"]
        for name, factors in (("left", lefts), ("right", rights)):
            self.factors[name] = max(self.factors[name], len(factors))
            for place, read in enumerate(factors):
                columns = product_text(self.buffers[read.buffer].shape)
                lines += [f"{name}[{place}].columns = {columns}", f"{name}[{place}].rows = {self._pointer(read)}"]
                lines.append(f"{name}[{place}].sum = {sums.get(read, 'NULL') if name == 'left' else 'NULL'}")
        self.factors["pairs"] = max(self.factors["pairs"], len(group))
        for place, each in enumerate(group):
            lines += [f"pairs[{place}].left = {lefts.index(each.left)}", f"pairs[{place}].right = {rights.index(each.right)}"]
            lines.append(f"pairs[{place}].y = b_{each.out}")
        count, more = ("batch*(t1 - t0 + 1)", "call.more") if timed else ("rows", "0")
        return [*lines, f"outer_sums({count}, left, {len(lefts)}, right, {len(rights)}, pairs, {len(group)}, {more}, call, id)"]

    def _pick(self, statement: PickStep) -> list[str]:
        wide = product_text(self.buffers[statement.out].shape)
        source = f"b_{statement.buffer}[(t - 1)*s_{statement.buffer} + r*{wide} + c]"
        inner = [*fixed_step(statement.from_end, statement.offset), f"for c in range({wide}):"]
        return ["for r in range(r0, r1):", *(INDENT + line for line in inner), f"{INDENT * 2}b_{statement.out}[r*{wide} + c] = {source}"]

