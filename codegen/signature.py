"""Signature: a Program without its compiled statements <-> JSON, so that a cached kernel loads without deriving anything."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any

from codegen.program import Action, Buffer, Loop, Phase, Program, Projection, Segment, Solve
from codegen.sizes import Size
from codegen.streaming import Share, Streaming


def encode(program: Program) -> str:
    """JSON text of all that a kernel needs besides its compiled segments."""
    from codegen.serial import pack

    record = {
        "name": program.name,
        "dims": program.dims,
        "buffers": [asdict(buffer) for buffer in program.buffers.values()],
        "phases": {
            name: {"actions": [_encode(action) for action in phase.actions], "writes": phase.writes}
            for name, phase in program.phases.items()
        },
        "results": {name: dict(found) for name, found in program.results.items()},
        "kept": sorted(program.kept),
        "objective": program.objective,
        "losses": program.losses,
        "guesses": dict(program.guesses),
        "cotangents": dict(program.cotangents),
        "defaults": dict(program.defaults),
        "zero": sorted(program.zero),
        "least": program.least,
        "streaming": asdict(program.streaming),
        "systems": pack(program.systems),
        "needs": {phase: dict(needs) for phase, needs in program.needs.items()},
    }
    return json.dumps(record)


def decode(text: str) -> Program:
    """The program's frame from JSON; its segments are empty."""
    record = json.loads(text)
    buffers = {}
    for entry in record["buffers"]:
        entry["shape"] = tuple(_size(size) for size in entry["shape"])
        entry["below"] = None if entry["below"] is None else _size(entry["below"])
        buffers[entry["name"]] = Buffer(**entry)
    return Program(
        name=record["name"],
        dims=tuple(record["dims"]),
        buffers=buffers,
        phases={
            name: Phase(name, tuple(_decode(action) for action in phase["actions"]), tuple(phase["writes"]))
            for name, phase in record["phases"].items()
        },
        results=record["results"],
        kept=frozenset(record["kept"]),
        objective=record["objective"],
        losses=tuple(record["losses"]),
        guesses=record["guesses"],
        cotangents=record["cotangents"],
        defaults=record["defaults"],
        zero=frozenset(record["zero"]),
        least=tuple(tuple(entry) for entry in record["least"]),
        streaming=_streaming(record["streaming"]),
        systems=_unpacked(record["systems"]) if record["systems"] else (),
        needs={phase: {label: tuple(places) for label, places in needs.items()} for phase, needs in record["needs"].items()},
    )


def _unpacked(record: object) -> Any:
    """Records of constraints, which most kernels have none of and then need none of the modules for."""
    from codegen.serial import unpack

    return unpack(record)


def _streaming(record: dict) -> Streaming:
    def plain(entries: dict) -> dict:
        return {name: tuple(entry) if isinstance(entry, list) else entry for name, entry in entries.items()}

    shares = {name: Share(**plain(record[name])) for name in ("forward", "gradient")}
    state = tuple((label, name, position) for label, name, position in record["state"])
    return Streaming(**{**plain(record), **shares, "state": state})


def _size(size: list) -> Size:
    return tuple((coefficient, tuple(names)) for coefficient, names in size)


def _encode(action: Action) -> dict:
    match action:
        case Segment():
            return {"segment": action.number, "order": action.order}
        case Solve():
            inner = _encode(action.segment)
            return {
                "solve": [list(pair) for pair in action.cut],
                "names": action.names,
                "linear": action.linear,
                "level": action.level,
                "inner": inner,
            }
        case Loop():
            return {"loop": action.direction, "body": [_encode(part) for part in action.body]}
        case Projection():
            from codegen.serial import pack

            return {"projection": pack(action)}


def _decode(record: dict) -> Action:
    if "projection" in record:
        return _unpacked(record["projection"])
    if "segment" in record:
        return Segment(record["segment"], record["order"], ())
    if "solve" in record:
        cut = tuple((state, new) for state, new in record["solve"])
        return Solve(cut, tuple(record["names"]), record["linear"], record["level"], _decode(record["inner"]))  # type: ignore[arg-type]
    return Loop(record["loop"], tuple(_decode(part) for part in record["body"]))  # type: ignore[misc]
