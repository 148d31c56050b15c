"""The two readings of x = f(W x + b), abstract and given, and what their derivations must say."""

READINGS = {
    "steady": "f: function\nR = maximize(...)\nx: n = f(W @ x + b)\n",
    "steady tanh": "a: const[n]\nR = maximize(dot(a, x))\nx: n = tanh(W @ x + b)\n",
    "trajectory": "f: function\nR = maximize(...)\nx[t]: n = f(W @ x[t-1] + b)\n",
    "trajectory tanh": "R = maximize(sum(norm2(x[t]) for t in steps))\nx[t]: n = tanh(W @ x[t-1] + b)\n",
}

_STEADY = [
    "x = f(W x + b)",
    "b = f⁻¹(x) − W x",
    "b_i = f⁻¹(x_i) − Σ_j W_ij x_j",
    "∂b_i/∂x_j = f⁻¹′(x_i) δ_ij − W_ij = (D⁻¹ − W)_ij",
    "∂b/∂x = D⁻¹ − W",
    "D = diag f′(W x + b)",
    "s = ∂R/∂b",
    "∂R/∂x_j = Σ_i ∂R/∂b_i ∂b_i/∂x_j = Σ_i ∂R/∂b_i (D⁻¹ − W)_ij",
    "∂R/∂x = (D⁻¹ − Wᵀ) ∂R/∂b",
    "(D⁻¹ − Wᵀ) s = ∂R/∂x",
    "∂R/∂W_ij = x_j ∂R/∂b_i",
    "∂R/∂W = s xᵀ",
    "∂R/∂b = s",
    "ΔW = η s xᵀ",
    "Δb = η s",
    # the algorithm
    "x = f(W x + b)",
    "D = diag f′(W x + b)",
    "(D⁻¹ − Wᵀ) s = ∂R/∂x",
    "ΔW = η s xᵀ",
    "Δb = η s",
]

_TRAJECTORY = [
    "x(t) = f(W x(t−1) + b)",
    "x(0) ─W,b→ x(1) ─W,b→ ⋯ ─W,b→ x(T)",
    "x(t) = f(W x(t−1) + b(t))",
    "b(t) = f⁻¹(x(t)) − W x(t−1)",
    "∂b_i(t)/∂x_j(t′) = δ_tt′ (D⁻¹(t))_ij − W_ij δ_{t−1,t′}",
    "∂b(t)/∂x(t′) = δ_tt′ D⁻¹(t) − W δ_{t−1,t′}",
    "D(t) = diag f′(W x(t−1) + b(t))",
    "s(t) = ∂R/∂b(t)",
    "∂R/∂x(t) = D⁻¹(t) s(t) − Wᵀ s(t+1)",
    "s(t) = D(t) Wᵀ s(t+1) + D(t) ∂R/∂x(t)",
    "s(T+1) = 0",
    "∂R/∂W_ij = Σ_t x_j(t−1) ∂R/∂b_i(t) = Σ_t s_i(t) x_j(t−1)",
    "∂R/∂W = Σ_t s(t) x(t−1)ᵀ",
    "∂R/∂b = Σ_t s(t)",
    "∂R/∂x(0) = Wᵀ s(1)",
    "ΔW = η Σ_t s(t) x(t−1)ᵀ",
    "Δb = η Σ_t s(t)",
    # the algorithm
    "x(t) = f(W x(t−1) + b)",
    "D(t) = diag f′(W x(t−1) + b(t))",
    "s(t) = D(t) Wᵀ s(t+1) + D(t) ∂R/∂x(t)",
    "ΔW = η Σ_t s(t) x(t−1)ᵀ",
    "Δb = η Σ_t s(t)",
]


def _given(lines: list[str], value: str) -> list[str]:
    """The same with tanh, whose slope is also written through the output."""
    named = [line.replace(" f", " tanh") for line in lines]
    return [f"{line} = diag(1 − {value}²)" if line.startswith("D") else line for line in named]


LINES = {
    "steady": [_STEADY[0], "max_{W,b} R(x)", *_STEADY[1:]],
    "steady tanh": ["x = tanh(W x + b)", "R = aᵀ x", *_given(_STEADY[1:9], "x"), "∂R/∂x = a", *_given(_STEADY[9:], "x")],
    "trajectory": ["x(t) = f(W x(t−1) + b)", "max_{W,b} R(x(1), …, x(T))", *_TRAJECTORY[1:]],
    "trajectory tanh": [
        "x(t) = tanh(W x(t−1) + b)",
        "R = Σ_t ‖x(t)‖²",
        *_given(_TRAJECTORY[1:9], "x(t)"),
        "∂R/∂x(t) = 2 x(t)",
        *_given(_TRAJECTORY[9:], "x(t)"),
    ],
}

LATEX = {
    "steady": [
        r"x = f(W\, x + b)",
        r"b_{i} = f^{-1}(x_{i}) - \sum_{j} W_{i j}\, x_{j}",
        r"\frac{\partial b_{i}}{\partial x_{j}} = f^{-1\,\prime}(x_{i})\, \delta_{i j} - W_{i j} = (D^{-1} - W)_{i j}",
        r"D = \operatorname{diag}\, f^{\prime}(W\, x + b)",
        r"\frac{\partial R}{\partial x} = (D^{-1} - W^{\top})\, \frac{\partial R}{\partial b}",
        r"(D^{-1} - W^{\top})\, s = \frac{\partial R}{\partial x}",
        r"\frac{\partial R}{\partial W_{i j}} = x_{j}\, \frac{\partial R}{\partial b_{i}}",
        r"\Delta W = \eta\, s\, x^{\top}",
    ],
    "trajectory": [
        r"x(t) = f(W\, x(t-1) + b)",
        r"x(0) \xrightarrow{W, b} x(1) \xrightarrow{W, b} \cdots \xrightarrow{W, b} x(T)",
        r"b(t) = f^{-1}(x(t)) - W\, x(t-1)",
        r"\frac{\partial b_{i}(t)}{\partial x_{j}(t')} = \delta_{t t'}\, (D^{-1}(t))_{i j} - W_{i j}\, \delta_{t-1, t'}",
        r"D(t) = \operatorname{diag}\, f^{\prime}(W\, x(t-1) + b(t))",
        r"\frac{\partial R}{\partial x(t)} = D^{-1}(t)\, s(t) - W^{\top}\, s(t+1)",
        r"s(t) = D(t)\, W^{\top}\, s(t+1) + D(t)\, \frac{\partial R}{\partial x(t)}",
        r"s(T+1) = 0",
        r"\frac{\partial R}{\partial x(0)} = W^{\top}\, s(1)",
        r"\Delta W = \eta\, \sum_{t} s(t)\, x(t-1)^{\top}",
    ],
}


def in_order(wanted: list[str], found: list[str]) -> list[str]:
    """The wanted lines that are missing, taking them in order."""
    rest = iter(found)
    return [line for line in wanted if not any(line == other for other in rest)]
