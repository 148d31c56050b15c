"""Graphs: strongly connected components. Imports nothing, so that cached kernels can use it."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping
from typing import TypeVar

V = TypeVar("V", bound=Hashable)


def components(graph: Mapping[V, Iterable[V]]) -> list[tuple[V, ...]]:
    """Strongly connected components, those read before their readers; members in the graph's order (Tarjan's algorithm)."""
    index: dict[V, int] = {}
    low: dict[V, int] = {}
    stack: list[V] = []
    found: list[tuple[V, ...]] = []
    position = {vertex: place for place, vertex in enumerate(graph)}
    for root in graph:
        if root in index:
            continue
        work = [(root, iter(graph[root]))]
        index[root] = low[root] = len(index)
        stack.append(root)
        while work:
            vertex, successors = work[-1]
            for successor in successors:
                if successor not in index:
                    index[successor] = low[successor] = len(index)
                    stack.append(successor)
                    work.append((successor, iter(graph[successor])))
                    break
                if successor in low:
                    low[vertex] = min(low[vertex], index[successor])
            else:
                work.pop()
                if work:
                    low[work[-1][0]] = min(low[work[-1][0]], low[vertex])
                if low[vertex] == index[vertex]:
                    members = [stack.pop()]
                    while members[-1] != vertex:
                        members.append(stack.pop())
                    for member in members:
                        del low[member]
                    found.append(tuple(sorted(members, key=position.__getitem__)))
    return found
