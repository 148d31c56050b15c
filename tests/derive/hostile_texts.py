"""Hostile texts, by family; seeded. Every text either stands for nothing legal or may be accepted."""

from __future__ import annotations

import random

PAYLOADS = """
__import__('os').system('touch canary') | open('canary', 'w') | exec('1') | eval('1') | compile('1', '', 'eval')
().__class__.__bases__[0].__subclasses__() | h.__class__ | h[t].__init__.__globals__ | __builtins__ | __name__
__debug__ | getattr(h, 'x') | globals() | vars() | breakpoint() | input() | print(1) | type(h) | super() | dir()
h.T.T.shape | W.T.__class__ | 9**9**9 | 9**9**9**9 | 2**99999 | h[t-1]**1e9 | 9**-9**9 | 10**400 | (9**64)**64**64
1<<99999 | 999999999*h[t-1] | 1e999999999 | 0xfffffffffffffffffffff | 0b11111111111111111111111111111111
1e-999999999 | 1_0e1_0_0_0_0_0_0_0 | 1j | 1e400 | 'a'*999999 | f"{__import__('os')}" | f"{h!r:>{9**9}}" | "%s" % h
b"x" | "x".join(h) | "{0.__class__}".format(h) | rb"\\x00" | '''x''' | None | (y := 3) | [x for x in h]
{x for x in h} | {x: x for x in h} | (x for x in h) | [*h] | {**h} | h[*h] | (h, h) | [] | {} | {1} | {1: 2}
lambda: 1 | lambda u: u | (lambda u: u)(h[t-1]) | tanh(*h) | tanh(x=h) | tanh(**h) | tanh() | tanh(h, h, h)
tanh(tanh) | tanh[0] | tanh.T | await h | (yield) | (yield h) | (yield from h) | not h | ~h[t-1] | h if h else h
h and h | h or h | h is h | h in h | h == h | h < h < h | ... | h[::1] | h[t:] | h[t][::2] | h[t][0:n:1] | h[t, t]
h[t][t] | h[h] | h[h[t]] | h[1.5] | h["t"] | h[True] | h[-True] | h[t-True] | h[t*2] | h[t-99999] | h[-99999]
h[T+99999] | h[0xffffffffffffffffffffffff] | steps | steps[0] | t | T() | h(t) | sum | sum() | sum(h, h)
sum(h[t] for t in h) | sum(h[t] for t in steps for t in steps) | sum(h[t] for t in steps if h)
sum(h[t] for x in steps) | sum(x async for x in h) | sum(h[t] for t in steps[::2]) | sum(h[t] for t in steps[h:])
sum(sum(h[t] for t in steps) for t in steps) | within(h) | within(h[t], h) | where(h) | where(1, 2, 3)
where(h < h < h, 1, 2) | where(h in h, 1, 2) | concat() | eye() | eye(h) | zeros() | zeros(n, n, n) | zeros(0)
zeros(-n) | pad(h) | pad(h[t-1], 0) | pad(h[t-1], n, n) | pad(h[t-1], -1, n) | slope(h, h) | slope(q, h, n)
slope(tanh, h[t-1]) | slope(q, h, 0) | slope(q, h, 99) | import os | from os import * | del h | global h | nonlocal h
pass | return 1 | raise h | assert h | h[t] += 1 | h: int = 1 | while 1: pass | h ? h | h $ h | h ! h | h := 1 | h @
@h | h h | ) | ] | } | ( | [ | { | ''' | " | \\ | ;; | : | -> | => | ` | \\x00 | #" | a.b.c.d.e | *h | **h
""".replace("\n", " | ").split(" | ")  # fmt: skip

PLACES = ["h[t]: n = {}", "h[t]: n = tanh(h[t-1] + {})", "h[t]: {} = h[t-1]", "h[{}] = 0\nh[t]: n = h[t-1]", "{}: n",
          "tau: const = {}",
          "g = lambda u: {}\nh[t]: n = g(h[t-1])", "h[t]: n = h[t-1]\nE = minimize({})", "{}", "h[t]: n = h[t-1][{}]",
          "h[t]: n = h[t-1]\nE = minimize(sum(norm2(h[t]) for t in steps[{}:]))"]  # fmt: skip

ODD = ["\u0430", "\u03b1", "\uff34", "\ufb01", "\u2126", "\u202e", "\u2066", "\u200b", "\u200d", "\ufeff", "\x00",
       "\x07", "\x0c", "\x1b", "\x85",
       "\u2028", "\ud800", "\udfff", "\U0001f4a3", "\u0301", "\u00a0", "\u3000", "\u00b2", "\u0660", "\U0001d7d8",
       "\u2212", "\u2024", "\u037e",
       "\U000e0041", "\ufffe"]  # fmt: skip

STATEMENTS = ["import os", "import os as h", "from os import system", "def h(): pass", "async def h(): pass",
              "class h: pass", "@h\ndef g(): pass",
              "with h: pass", "async with h: pass", "try: pass\nexcept: pass", "try: pass\nexcept* E: pass",
              "for x in h: pass", "while h: pass",
              "if h: pass", "match h:\n case 1: pass", "a, b = h", "a = b = h", "(a): n = 1\na: n", "h.x = 1",
              "h.x: n = 1", "h[0][0] = 1",
              "h[0]: n = 1", "[a] = h", "*a, = h", "print(1)", "exec('1')", "h", "1", "'a'", "yield h", "await h",
              "return", "break", "type X = int",
              "a: n; import os", "a: n\n\tb: n", "a: n = (\n", "minimize(1)", "E: scalar = minimize(1)",
              "E = minimize()", "E = minimize(*h)",
              "E = minimize(1)\nF = maximize(1)", "x: x = x", "n: n", "T: n", "t: n", "steps: n", "tanh: n",
              "lambda: n", "None: n", "True: n",
              "x = 3", "x[t] = 3", "f: function = 3", "u: input = 3", "u: input[n, n, n]", "u: const[3] = 3",
              "s: total", "s: total[n]", "x: ()",
              "x: (n, n, n)", "x: 0", "x: -n", "x: n/2", "x: n**2", "x: n()", "x: n.m", "x: n[0]", "x: 'n'", "x: T",
              "x: t", "x: tanh", "x: None",
              "x: lambda: 1", "x: (y := 3)", "x: f'{n}'", "c[t]: index[m] = exec", "assert W == W.T", "s = surrogate(1, 2)",
              "A[t]: (n, n, n) = A[t-1]"]  # fmt: skip


def nests() -> list[str]:
    """Every bracket and operator kind, to depths at, beyond and far beyond the limit."""
    forms = [("(", ")"), ("-", ""), ("+", ""), ("~", ""), ("not ", ""), ("tanh(", ")"), ("[", "]"), ("{", "}"), ("a[",
    "]"), ("a(", ")"),
             ("2**", ""), ("2*", ""), ("2/", ""), ("W @ ", ""), ("2+", ""), ("2-", ""), ("2<", ""), ("2^", ""),
              ("lambda u: ", ""),
             ("where(a > b, 1, ", ")"), ("where(", " > b, 1, 2)"), ("(1 if b else ", ")"), ("concat(b, ", ")"), ("g(",
              ")"), ("f'{", "}'"),
             ("sum(", " for t in steps)"), ("within(", ", steps)"), ("(b, ", ")"), ("(1 + ", ")"), ("", ".T"), ("",
              "[0:n]"), ("", "(b)"),
             ("", "**2"), ("", " + b"), ("", "*2"), ("", "/2"), ("", " @ b"), ("", " < b"), ("", " and b"), ("",
              " if b else b"), ("", "[t]"),
             ("h[t-", "]"), ("exp(-", ")"), ("slope(q, ", ")")]  # fmt: skip
    texts = []
    for left, right in forms:
        for depth in (90, 101, 250, 1500, 5000, 60000):
            if depth * len(left + right) < 62000:
                texts.append(
                    "b: n\nW: (n, n)\nq: function\ng = lambda u: u\nh[t]: n = " + left * depth + "b" + right * depth
                )
    return texts


def bombs() -> list[str]:
    """Short texts that stand for very large things."""
    many = range(1000)
    double = ["a0 = lambda u: u*u + u"] + [f"a{i} = lambda u: a{i - 1}(a{i - 1}(u))" for i in range(1, 40)]
    wide = ["a0 = lambda u: u*u + u"] + [f"a{i} = lambda u: a{i - 1}(u) + a{i - 1}(u)" for i in range(1, 40)]
    chain = ["a0 = lambda u: u + 1"] + [f"a{i} = lambda u: a{i - 1}(u) + 1" for i in range(1, 200)]
    texts = ["\n".join([*double[:k], f"h[t]: n = a{k - 1}(h[t-1])"]) for k in (3, 8, 15, 40)]
    texts += ["\n".join([*wide[:k], f"h[t]: n = a{k - 1}(h[t-1])"]) for k in (10, 15, 40)]
    texts += ["\n".join([*chain[:k], f"h[t]: n = a{k - 1}(h[t-1])"]) for k in (15, 60, 200)]
    texts += [f"a = lambda u: u*u + u\nh[t]: n = {'a(' * k}h[t-1]{')' * k}" for k in (5, 9, 14, 60)]
    texts += ["a = lambda u: u*u\nh[t]: n = h[t-1]" + "".join(" + a(a(a(a(a(h[t-1])))))" for _ in range(400))]
    texts += ["a = lambda u: a(u)\nh[t]: n = a(h[t-1])", "a = lambda u: b(u)\nb = lambda u: a(u)\nh[t]: n = a(h[t-1])"]
    texts += ["a = lambda u: a0(u)\n" + "\n".join(double)]
    texts += ["x: " + "*".join(f"(a{i} + b{i})" for i in range(k)) for k in (3, 7, 30)] + [
        "x: " + "*".join(["n"] * k) for k in (60, 999)
    ]
    texts += ["x: " + "*".join(["999999"] * k) + "*n" for k in (3, 50, 2000)] + [
        "x: " + "+".join(f"a{i}" for i in many)
    ]
    texts += ["x: 2*n\ny: n = x[" + "0+" * k + "0:n]" for k in (50, 3000)] + ["x: " + "(a + b)*" * 60 + "c"]
    texts += ["h[t]: n = " + "+".join(f"h[t-{i}]" for i in range(1, k)) for k in (100, 300, 1000)]
    texts += ["\n".join(f"h{i}[t]: n = h{i}[t-1000]" for i in range(k)) for k in (15, 400)]
    texts += ["h[t]: n = h[t-1]\n" + "\n".join(f"h[-{i}] = 0" for i in range(k)) for k in (500, 3000)]
    texts += ["\n".join(f"h{i}[t]: n = tanh(W{i} @ h{i}[t-1] + U{i})" for i in range(200))]
    texts += ["\n".join(f"h{i}[t]: n = tanh(W{i} @ h{i}[t-1] + h{i + 1}[t-1])" for i in range(200)) + "\nh200[t]: n"]
    texts += ["\n".join(f"x{i}: n = W{i} + y{i + 1}\ny{i}: n" for i in range(300)) + "\ny300: n"]
    texts += ["W: n\n" + "\n".join(f"x{i}: n = x{i + 1}" for i in range(300)) + "\nx300: n = W"]
    texts += [
        "\n".join(f"y{i} = lambda u: y{i + 1}(u)" for i in range(900)) + "\ny900 = lambda u: u\nh[t]: n = y0(h[t-1])"
    ]
    texts += [
        "\n".join(f"x{i}[t]: n{i}" for i in many)
        + "\ny[t]: scalar = norm2(concat("
        + ",".join(f"x{i}[t]" for i in many)
        + "))"
    ]
    texts += [
        "h[t]: n = tanh(h[t-1])\nE = minimize("
        + "+".join(f"sum(norm2(within(h[t], steps[{i}:])) for t in steps)" for i in range(400))
        + ")"
    ]
    texts += ["h[t]: n = " + sep.join(["0.5*h[t-1]"] * k) for sep in ("+", "*", "/", "-") for k in (100, 1000, 5000)]
    texts += ["h[t]: n = " + "tanh(1 + " * k + "W @ h[t-1]" + ")" * k for k in (16, 40, 99)]
    texts += ["h[t]: n = " + "(" * k + "q" + " @ A)" * k + " @ h[t-1]" for k in (16, 40, 99)]
    texts += ["\n".join(f"{'x' * 60}{i}: n" for i in range(900)) + "\nh[t]: n = " + "x" * 59 + "y*h[t-1]"]
    texts += ["\n".join(f"h[t]: n = {'x' * 60}{i}" for i in range(1))]
    texts += [
        "h[t]: n = h[0x" + "f" * 50000 + "]",
        "h[t]: n = " + "9" * 60000,
        "h[t]: n = 0." + "9" * 60000,
        "h[t]: n = 1e" + "9" * 60000,
    ]
    texts += [
        "h[t]: n = h[t-1]**(0x" + "f" * 50000 + "/2)",
        "E = minimize(sum(h[t] for t in steps[0x" + "f" * 50000 + "]))",
    ]
    texts += [
        "h[t]: n = h[t-1] # " + "(" * 60000,
        '"""' + "(" * 60000 + '"""\nh[t]: n = h[t-1]',
        '\\"""\n' * 9000,
        "'''" * 20000,
        '"' * 60001,
    ]
    texts += [
        "\\\n" * 30000,
        "\n" * 65000,
        " " * 65000 + "x",
        "\t" * 65000,
        "x" * 65000,
        ";" * 60000,
        "a: n;" * 9000,
        "#" * 65536,
        "#" * 65537,
    ]
    texts += [
        "h[t]: n = h[t-1]\n" * 3500,
        "(" * 65000,
        ")" * 65000,
        "[{(" * 20000,
        "a" * 10**6,
        "h[t]: n = h[t-1]\n" + " \n" * 500000,
    ]
    return texts


def mutations(draw: random.Random, zoo: list[str], count: int) -> list[str]:
    """Stock files with characters, tokens and lines dropped, doubled, swapped and replaced."""
    pieces = [
        *"()[]{}:=,.+-*/@^%&|~<>!?'\"#\\ \n\t0123456789tTnmhxW_",
        "**",
        "[t]",
        "[t-1]",
        "[T]",
        ".T",
        " = ",
        ": n",
        "steps",
        "sum(",
        "for t in ",
    ]
    texts = []
    for _ in range(count):
        text = draw.choice(zoo)
        for _ in range(draw.choice([1, 1, 1, 2, 5])):
            at, size = draw.randrange(len(text)), draw.choice([1, 1, 2, 5, 20])
            match draw.randrange(5):
                case 0:
                    text = text[:at] + text[at + size :]
                case 1:
                    text = text[:at] + draw.choice(pieces) + text[at:]
                case 2:
                    text = text[:at] + draw.choice(pieces) + text[at + size :]
                case 3:
                    text = text[:at] + text[at : at + size] * 2 + text[at + size :]
                case _:
                    lines = text.split("\n")
                    draw.shuffle(lines)
                    text = "\n".join(lines)
        texts.append(text)
    return texts


def corpus(seed: int, zoo: list[str]) -> list[tuple[str, str | bytes, bool]]:
    """Texts with their family, and whether they must be refused."""
    draw = random.Random(seed)
    found: list[tuple[str, str | bytes, bool]] = [
        ("statement", f"h[t]: n = h[t-1]\n{text}", True) for text in STATEMENTS
    ]
    found += [
        ("payload", place.replace("{}", payload), False)
        for payload in PAYLOADS
        if payload
        for place in draw.sample(PLACES, 3)
    ]
    found += [("payload", f"h[t]: n = h[t-1] + ({payload})", False) for payload in PAYLOADS if payload]
    found += [("nest", text, False) for text in nests()] + [("bomb", text, False) for text in bombs()]
    lines = [
        "h{}[t]: n = tanh(h[t-1])",
        "h[t]: n = tanh({}h[t-1])",
        "h[t]: n = {}*h[t-1]",
        "{}",
        "h[t]: n = h[t-1]\n{}: n",
    ]
    found += [
        ("unicode", line.replace("{}", odd), True)
        for odd in ODD
        for line in lines
        if not (odd == "\ufeff" and line == "{}")
    ]
    found += [
        ("bytes", b"h[t]: n = h[t-1] #" + bytes(draw.randrange(128, 256) for _ in range(9)) + b"\xff", True)
        for _ in range(20)
    ]
    words = [
        *"()[]{}:=,+-*/@.",
        "h",
        "t",
        "n",
        "W",
        "[t]",
        "[t-1]",
        "tanh",
        "sum",
        "lambda",
        "for",
        "in",
        "steps",
        "0.5",
        "\n",
        "minimize",
        "__x__",
    ]
    found += [("soup", "".join(draw.choice(words) for _ in range(draw.randrange(1, 60))), False) for _ in range(200)]
    return found + [("mutation", text, False) for text in mutations(draw, zoo, 300)]
