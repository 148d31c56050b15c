"""A program that parses all hostile texts under an audit hook and prints what happened as JSON.

None of them may run, hang or crash; some must be refused.
"""

from __future__ import annotations

import importlib
import json
import os
import resource
import signal
import sys
import time
from pathlib import Path

from hostile_texts import corpus

LIMIT = 5.0  # seconds of processor time after which a text counts as hanging; the aim is one
QUIET = {"builtins.id", "object.__getattr__", "sys._getframe", "marshal.loads"}

class Watch:
    """An audit hook that notes what happens while a text is parsed."""

    def __init__(self) -> None:
        self.armed, self.events = False, []
        sys.addaudithook(self.note)

    def note(self, event: str, args: tuple) -> None:
        harmless = event in QUIET or (event == "open" and args[0] == os.devnull)  # which Python opens at a syntax error
        if self.armed and not harmless:
            self.events.append(event if event in ("compile", "exec") else f"{event} {args[:1]}"[:200])


def run(texts: list, parse: object, watch: Watch, refusal: type) -> dict:
    """Parse every text; returns what was wrong, outcomes by family, the longest time and the growth of memory in MB."""

    def hang(*_: object) -> None:
        raise TimeoutError

    signal.signal(signal.SIGPROF, hang)
    wrong, outcomes, longest, spent = [], {}, (0.0, ""), {}
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for family, text, refuse in texts:
        watch.events, started, outcome = [], time.process_time(), "accepted"
        signal.setitimer(signal.ITIMER_PROF, LIMIT)
        try:
            watch.armed = True
            parse(text)
        except refusal as error:
            outcome = "refused" if str(error) and len(str(error)) < 4000 else "a message without end"
        except BaseException as error:  # noqa: BLE001 -- whatever else comes out is what is looked for
            outcome = type(error).__name__
        finally:
            watch.armed = False
            signal.setitimer(signal.ITIMER_PROF, 0)
        longest = max(longest, (time.process_time() - started, text[:80] if isinstance(text, str) else repr(text)))
        outcomes.setdefault(family, {}).setdefault(outcome, 0)
        spent[family] = spent.get(family, 0) + time.process_time() - started
        outcomes[family][outcome] += 1
        events = [event for event in watch.events if event != "compile"] + ["compile"] * (
            watch.events.count("compile") - 1
        )
        if outcome not in ("accepted", "refused") or (refuse and outcome != "refused") or events:
            wrong.append([family, repr(text[:120]), outcome, events])
    memory = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    return {"wrong": wrong, "outcomes": outcomes, "spent": spent, "count": len(texts), "longest": longest,
    "memory": memory}


def main() -> None:
    """Parse the corpus, or with `sabotage` execute a payload instead, and print the result as JSON."""
    from derive.errors import RecurrenceError
    from derive.language import parse

    importlib.import_module("sympy.assumptions.wrapper")  # SymPy loads it at the first question that needs it
    folder = Path(sys.modules["derive.language"].__file__ or "").parent / "zoo"
    zoo = [path.read_text() for path in sorted(folder.glob("*.rec"))]
    for text in zoo:
        parse(text)
    watch = Watch()
    if sys.argv[1:] == ["sabotage"]:
        texts = [
            ("payload", "__import__('os').system('touch canary')", True),
            ("payload", "1/0", True),
            ("nest", "x" * 9, True),
        ]
        result = run(texts, exec, watch, RecurrenceError)
    else:
        result = run(corpus(14, zoo), parse, watch, RecurrenceError)
    print(json.dumps(result))


if __name__ == "__main__":
    main()
