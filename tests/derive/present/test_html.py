"""The page: whole without a network, no user's text as markup, every step with its number, links that lead on."""

from __future__ import annotations

import base64
import hashlib
import os
import re
import subprocess
import sys
from functools import cache
from html.parser import HTMLParser
from pathlib import Path

import jinja2.meta
import pytest

import derive
from derive.adjoint import gradient
from derive.derivation import Derivation
from derive.exposition import exposition, steps
from derive.language import load, parse
from derive.present import html as module
from derive.present.html import to_html
from derive.present.latex import LatexPrinter, formula
from derive.present.printer import names_of
from derive.present.references import cited
from derive.present.text import TextPrinter
from derive.sections.boxes import Box

ROOT = Path(__file__).resolve().parents[3]
PRESENT = ROOT / "derive" / "present"
STOCK = sorted(path.stem for path in (ROOT / "derive" / "zoo").glob("*.rec"))
VERSION = re.search(r"KaTeX ([\d.]+),", (PRESENT / "katex" / "README.md").read_text(encoding="utf-8")).group(1)
LOADING = {"link", "img", "iframe", "object", "embed", "base", "image", "use"}
CALLS = re.compile(
    r"XMLHttpRequest|WebSocket|EventSource|sendBeacon|importScripts|\b(?:import|eval)\(|(?<![.\w])fetch\((?!\)\{)"
)
READ = {"title", "h1", "h2", "p", "b", "a", "style", "script"}
VOID = {"meta", "img", "link"}


class Page(HTMLParser):
    """A page taken apart: tags with their attributes, and the text of each element by its tag and class."""

    def __init__(self, source: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str]]] = []
        self.texts: list[tuple[str, str]] = []
        self.open: list[tuple[str, int | None]] = []
        self.feed(source)
        self.close()

    def handle_starttag(self, tag, attrs):
        values = {key: value or "" for key, value in attrs}
        self.tags.append((tag, values))
        name = f"{tag}.{values.get('class', '')}"
        if tag not in VOID:
            self.open.append((tag, len(self.texts) if tag in READ or name == "div.display tex" else None))
            self.texts.append((name, ""))

    def handle_endtag(self, tag):
        assert self.open.pop()[0] == tag, f"{tag} closes what is not open"

    def handle_data(self, data):
        for place in (place for _, place in self.open if place is not None):
            name, text = self.texts[place]
            self.texts[place] = (name, text + data)

    def all(self, name: str) -> list[str]:
        """The texts of the elements `tag.class`."""
        return [text for known, text in self.texts if known == name]

    def values(self, key: str) -> list[str]:
        """The values of an attribute."""
        return [values[key] for _, values in self.tags if key in values]


def loads(source: str) -> list[str]:
    """What a page asks for beyond itself."""
    page = Page(source)
    asked = [f"<{tag}>" for tag, _ in page.tags if tag in LOADING] + page.values("src") + page.values("srcset")
    asked += [link for link in page.values("href") if not link.startswith("#")]
    style = "".join(page.all("style.")) + " ".join(page.values("style"))
    asked += [url for url in re.findall(r"url\(([^)]*)\)", style) if not url.startswith("data:font/woff2;base64,")]
    # KaTeX's parser has methods called `fetch`: after a point, or where a method begins, it is not the browser's.
    return asked + re.findall("@import", style) + CALLS.findall("".join(page.all("script.")))


@cache
def derived(name: str) -> Derivation:
    """The gradient of a stock recurrence."""
    return gradient(load(name))


@cache
def page_of(name: str) -> str:
    """The page of a stock recurrence."""
    return to_html(derived(name))


@pytest.mark.parametrize("name", STOCK)
def test_the_page_loads_nothing(name):
    assert loads(page_of(name)) == []


@pytest.mark.parametrize(
    "spoilt",
    [
        ("<main>", '<main><img src="http://example.org/a.png">'),
        ("</head>", '<link rel="stylesheet" href="katex.min.css"></head>'),
        ("data:font/woff2;base64,", "fonts/"),
        ("<script>", '<script src="https://example.org/katex.js">'),
        ("for (const place", 'fetch("https://example.org"); for (const place'),
        ('href="#section-1"', 'href="https://example.org/#section-1"'),
    ],
)
def test_a_page_that_loads_something_is_found_out(spoilt):
    source = page_of("elman")
    assert source.count(spoilt[0]) >= 1 and loads(source.replace(*spoilt, 1)) != []


def test_the_policy_admits_what_is_on_the_page_and_nothing_else():
    page = Page(page_of("elman"))
    policy = next(values["content"] for _, values in page.tags if values.get("http-equiv") == "Content-Security-Policy")
    digest = lambda text: f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
    (style,), (script,) = page.all("style."), page.all("script.")
    admitted = f"font-src data:; style-src {digest(style)}; script-src {digest(script)}"
    assert policy == f"default-src 'none'; {admitted}; base-uri 'none'"
    assert digest(script + " ") not in policy and "unsafe" not in policy
    assert page.values("style") == [] and not any(key.startswith("on") for _, values in page.tags for key in values)


def test_katex_is_whole_and_under_its_licence():
    page = Page(page_of("elman"))
    script, style = page.all("script.")[0], page.all("style.")[0]
    assert f'version:"{VERSION}"' in script and f'content:"{VERSION}"' in style
    assert "Permission is hereby granted, free of charge" in script and "Khan Academy" in script
    fonts = re.findall(r"data:font/woff2;base64,([A-Za-z0-9+/=]+)", style)
    files = sorted((PRESENT / "katex").glob("*.woff2"))
    assert sorted(map(base64.b64decode, fonts)) == sorted(path.read_bytes() for path in files)
    assert len(fonts) == style.count("@font-face") and all(base64.b64decode(font).startswith(b"wOF2") for font in fonts)


@pytest.mark.parametrize("name", STOCK)
def test_every_step_stands_there_with_its_number(name):
    found, page = steps(derived(name)), Page(page_of(name))
    latex, text = LatexPrinter(names_of(found)), TextPrinter(names_of(found))
    assert page.all("a.number") == [f"({step.number})" for step in found]
    assert page.all("div.display tex") == [formula(latex, text, step) for step in found]
    assert [v["id"] for _, v in page.tags if v.get("class") == "step"] == [f"step-{step.number}" for step in found]
    assert page.all("h2.") == [*(f"{number}. {title}" for number, title in exposition(derived(name)).sections.items()), "References"]
    rules = page.all("b.")
    assert {step.rule.lower() + "." for step in found} == {rule.lower() for rule in rules}
    assert not any("\\label" in shown or "\\eqref" in shown for shown in page.all("div.display tex"))


@pytest.mark.parametrize("name", STOCK)
def test_sentences_are_said_in_full(name):
    found = steps(derived(name))
    latex = LatexPrinter(names_of(found))
    shown = lambda part: latex.show(part) if isinstance(part, Box) else f"({part})" if isinstance(part, int) else part
    said = []
    for step in found:
        parts = [shown(part) for part in step.because]
        line = f"{step.rule}. {''.join(parts)}" + (f" [{step.source}]" if step.source else "")
        said += [line] if line not in said[-1:] else []
    paragraphs = [" ".join(text.split()) for text in Page(page_of(name)).all("p.")]
    assert [text.lower() for text in paragraphs] == [" ".join(line.split()).lower() for line in said]


def dangling(source: str) -> set[str]:
    """Links to places that are not on the page, and places that are there more than once."""
    page = Page(source)
    places = page.values("id")
    return {link for link in page.values("href") if link[1:] not in places} | {i for i in places if places.count(i) > 1}


@pytest.mark.parametrize("name", STOCK)
def test_links_lead_somewhere(name):
    source, found = page_of(name), steps(derived(name))
    assert dangling(source) == set()
    links = Page(source).values("href")
    assert {f"#ref-{key}" for key in cited(found)} <= set(links)
    assert {f"#step-{part}" for step in found for part in step.because if isinstance(part, int)} <= set(links)
    assert dangling(source.replace('id="step-3"', "")) == {"#step-3"}
    assert dangling(source.replace('id="step-3"', 'id="step-4"')) == {"#step-3", "step-4"}


HOSTILE = [
    "</title></h1></style></script><script>alert(1)</script>",
    "<img src=x onerror=alert(1)> &lt;b&gt; &amp; \" ' `",
    "{{ 7*7 }} {% include 'page.js' %} {# #}",
    "<!-- --> <![CDATA[ ]]> \x00\x1b[31m\u202e\ud800\n\n中 é",
    "$x$ \\href{javascript:alert(1)}{x} \\input{/etc/passwd}",
]


def titled(title: str) -> str:
    """The page of a small recurrence under a title."""
    recurrence = parse("R = maximize(...)\nx[t]: n = tanh(W @ x[t-1] + b)\n")
    object.__setattr__(recurrence, "title", title)
    return to_html(gradient(recurrence))


@pytest.mark.parametrize("title", HOSTILE)
def test_a_hostile_title_is_only_text(title):
    source, plain = titled(title), titled("plain")
    page = Page(source)
    assert page.tags == Page(plain).tags and loads(source) == []
    shown = " ".join("".join(c if c.isprintable() or c.isspace() else "?" for c in title).split())
    assert page.all("h1.") == page.all("title.") == [f"Gradient of: {shown}"]
    assert source.encode("utf-8").decode("utf-8") == source


def test_without_escaping_a_title_would_be_markup(monkeypatch):
    monkeypatch.setattr(module, "_TEMPLATES", module._TEMPLATES.overlay(autoescape=False))
    assert Page(titled(HOSTILE[1])).tags != Page(titled("plain")).tags


def test_hostile_names_are_only_names():
    names = ["script", "a_", "_b", "c__d", "amp", "lt", "tex", "katex", "x" * 64, "W_bar", "D", "I", "eta"]
    lines = [f"{name}: n" for name in names] + ["R = maximize(sum(norm2(h[t]) for t in steps))"]
    derivation = gradient(parse("\n".join(lines) + "\nh[t]: n = tanh(V @ h[t-1] + " + " + ".join(names) + ")\n"))
    source = to_html(derivation)
    assert {tag for tag, _ in Page(source).tags} <= {tag for tag, _ in Page(titled("plain")).tags}
    assert loads(source) == [] and dangling(source) == set()


def test_signs_of_markup_in_formulas_are_escaped():
    objective = "E = minimize(sum(norm2(h[t]) for t in steps))\n"
    source = to_html(gradient(parse(f"x[t]: n\nh[t]: n = where(x[t] < 0, h[t-1], x[t])\n{objective}")))
    body = source[source.index("<body>") : source.index("<script>")]
    assert r"\text{if }" in body and " &lt; 0" in body and " &amp; " in body
    assert any(" < 0" in shown and " & " in shown for shown in Page(source).all("div.display tex"))


SCRIPT = """
import hashlib, derive
whole = "".join(derive.gradient(derive.load(name)).to_html() for name in ("elman", "narx"))
print(hashlib.sha256(whole.encode()).hexdigest())
"""


def test_the_same_bytes_in_every_process():
    run = lambda seed: subprocess.run(
        [sys.executable, "-c", SCRIPT],
        env={**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": str(ROOT)},
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    assert run("1") == run("271") != ""
    assert str(ROOT) not in page_of("elman") and page_of("elman") == derive.gradient(derive.load("elman")).to_html()


def test_templates_are_small_and_use_the_fields_they_get():
    used = {}
    for name in ("page.html.j2", "entry.html.j2"):
        text = (PRESENT / name).read_text(encoding="utf-8")
        assert text.count("\n") < 60 and "|safe" not in text.replace(" ", "")
        used[name] = jinja2.meta.find_undeclared_variables(module._TEMPLATES.parse(text))
    fields = {"title", "sections", "references", "policy", "style", "script"}
    assert used == {"page.html.j2": fields, "entry.html.j2": {"entry"}}
