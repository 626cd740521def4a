"""A graph of what comes before what, and its cycles through a strict order."""

from __future__ import annotations

from array import array
from collections.abc import Iterator
from itertools import pairwise

#: What an edge follows from: kind and row of the statement, and a word for messages.
Source = tuple[str, int, str]
#: From, to, and why.
Step = tuple[int, int, Source]

#: Steps of a cycle that a message shows.
SHOWN = 10


class Order:
    """Nodes are numbers; an edge goes from what is earlier, or as early, to what is later."""

    def __init__(self) -> None:
        self._from = array("q")
        self._to = array("q")
        self._strict = bytearray()
        self._sources: list[Source] = []

    def add(self, one: int, two: int, source: Source, *, strict: bool = False) -> None:
        self._from.append(one)
        self._to.append(two)
        self._strict.append(strict)
        self._sources.append(source)

    def cycles(self) -> Iterator[list[Step]]:
        """A shortest cycle through a strict edge, of each set of nodes that are on cycles."""
        if not any(self._strict):
            return
        edges = self._residue()
        if not edges:
            return
        import networkx

        graph: networkx.DiGraph[int] = networkx.DiGraph()
        for edge in edges:
            one, two = self._from[edge], self._to[edge]
            if not graph.has_edge(one, two) or self._strict[edge]:
                graph.add_edge(one, two, edge=edge)
        component = {}
        for number, nodes in enumerate(networkx.strongly_connected_components(graph)):
            component.update(dict.fromkeys(nodes, number))
        seen = set()
        for edge in edges:
            one, two = self._from[edge], self._to[edge]
            if not self._strict[edge] or component[one] != component[two]:
                continue
            if component[one] in seen:
                continue
            seen.add(component[one])
            back = networkx.shortest_path(graph, two, one)
            yield [
                (one, two, self._sources[edge]),
                *((a, b, self._sources[graph.edges[a, b]["edge"]]) for a, b in pairwise(back)),
            ]

    def _residue(self) -> list[int]:
        """The edges that are left when what nothing comes before is taken away, again and again."""
        waits: dict[int, int] = {}
        after: dict[int, list[int]] = {}
        for edge, (one, two) in enumerate(zip(self._from, self._to, strict=True)):
            waits[two] = waits.get(two, 0) + 1
            after.setdefault(one, []).append(edge)
        free = [node for node in after if node not in waits]
        while free:
            for edge in after.pop(free.pop(), ()):
                node = self._to[edge]
                waits[node] -= 1
                if not waits[node]:
                    del waits[node]
                    free.append(node)
        return sorted(edge for edges in after.values() for edge in edges)
