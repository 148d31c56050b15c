"""Serial: the records of a Program's constraints <-> plain values of JSON, by their class' name and their fields."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from typing import Any

from codegen.element import Const, Load, OnDiagonal, Op, Piece, Select, SizeValue
from codegen.program import Buffer, Projection
from codegen.statements import Map, Reduce
from codegen.systems import Assertion, Project, System

KINDS = (Load, Const, SizeValue, Op, Select, Piece, OnDiagonal, Map, Reduce, Buffer, Assertion, System, Project, Projection)
RECORDS = {kind.__name__: kind for kind in KINDS}


def pack(value: Any) -> Any:
    """A record, or what it holds, as lists, dicts, numbers and texts. Raises: TypeError for a record of another kind."""
    if is_dataclass(value):
        name = type(value).__name__
        if name not in RECORDS:
            raise TypeError(f"{name} is not a record of constraints")
        return {"is": name, "has": [pack(getattr(value, field.name)) for field in fields(value)]}
    if isinstance(value, Mapping):
        return {"map": [[key, pack(part)] for key, part in value.items()]}
    return [pack(part) for part in value] if isinstance(value, tuple) else value


def unpack(value: Any) -> Any:
    """The record again. Raises: KeyError for what `pack` did not make."""
    if isinstance(value, list):
        return tuple(unpack(part) for part in value)
    if not isinstance(value, dict):
        return value
    if "map" in value:
        return {key: unpack(part) for key, part in value["map"]}
    return RECORDS[value["is"]](*(unpack(part) for part in value["has"]))
