"""The `state-diagram` directive: draws TCP's states and moves from the table that the code runs on."""

from collections.abc import Collection
from html import escape

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

from pystack.transport.tcp.state import TRANSITIONS, Got, State

PLACES = {
    State.CLOSED: (400, 40),
    State.LISTEN: (160, 130),
    State.SYN_RECEIVED: (160, 290),
    State.SYN_SENT: (640, 290),
    State.ESTABLISHED: (400, 390),
    State.FIN_WAIT_1: (160, 490),
    State.CLOSE_WAIT: (640, 490),
    State.FIN_WAIT_2: (100, 620),
    State.CLOSING: (400, 620),
    State.LAST_ACK: (640, 620),
    State.TIME_WAIT: (250, 750),
}
"""The centre of each state's box; the shape is that of RFC 9293's figure 5."""

HALF_WIDTH, HALF_HEIGHT = 68, 18
EVERYWHERE = {Got.ABORT, Got.RST, Got.TIMEOUT, Got.UNREACHABLE}
"""Moves that lead from nearly every state to CLOSED; the caption tells of them."""
LABELS = {
    Got.SYN_ACK: "SYN with ACK",
    Got.FIN: "FIN",
    Got.ACTIVE_OPEN: "connect",
    Got.PASSIVE_OPEN: "listen",
    Got.CLOSE: "close",
}

Point = tuple[float, float]


def svg() -> str:
    """The diagram."""
    edges: dict[tuple[State, State], list[str]] = {}
    for (before, got), after in TRANSITIONS.items():
        if got not in EVERYWHERE:
            edges.setdefault((before, after), []).append(LABELS.get(got, got.value))
    parts = [_arrow(before, after, " or ".join(labels), edges.keys()) for (before, after), labels in edges.items()]
    parts += [_box(state) for state in State]
    return (
        '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 800 790" role="img" aria-label="TCP state diagram" '
        'style="max-width:100%;height:auto" font-family="sans-serif" font-size="13" text-anchor="middle">'
        '<defs><marker id="head" viewBox="0 0 10 10" refX="9" refY="5" markerWidth="8" markerHeight="8" orient="auto">'
        '<path d="M0,0 L10,5 L0,10 z" fill="currentColor"/></marker></defs>' + "".join(parts) + "</svg>"
    )


def _box(state: State) -> str:
    x, y = PLACES[state]
    return (
        f'<rect x="{x - HALF_WIDTH}" y="{y - HALF_HEIGHT}" width="{2 * HALF_WIDTH}" height="{2 * HALF_HEIGHT}" rx="6" '
        'fill="var(--color-background-secondary, #f4f4f4)" stroke="currentColor"/>'
        f'<text x="{x}" y="{y + 5}" fill="currentColor">{state}</text>'
    )


def _arrow(before: State, after: State, label: str, edges: Collection[tuple[State, State]]) -> str:
    if (before, after) == (State.LAST_ACK, State.CLOSED):  # around everything
        (x, y), (to_x, to_y) = PLACES[before], PLACES[after]
        path = f"M{x + HALF_WIDTH},{y} C{x + 180},{y} {x + 180},{to_y} {to_x + HALF_WIDTH},{to_y}"
        return _labelled(path, (x + 72, 200), label)
    both_ways = any(edge == (after, before) for edge in edges)
    start, end = _between(PLACES[before], PLACES[after], aside=16 if both_ways else 0)
    along = 0.6 if both_ways else 0.5
    place = (start[0] + (end[0] - start[0]) * along, start[1] + (end[1] - start[1]) * along + 4)
    return _labelled(f"M{start[0]:.0f},{start[1]:.0f} L{end[0]:.0f},{end[1]:.0f}", place, label)


def _labelled(path: str, place: Point, label: str) -> str:
    return (
        f'<path d="{path}" fill="none" stroke="currentColor" marker-end="url(#head)"/>'
        f'<text x="{place[0]:.0f}" y="{place[1]:.0f}" fill="currentColor" stroke-width="5" paint-order="stroke" '
        f'stroke="var(--color-background-primary, white)">{escape(label)}</text>'
    )


def _between(start: Point, end: Point, aside: float) -> tuple[Point, Point]:
    """The line from the edge of one box to the edge of the other, shifted to the right of its way by `aside`."""
    dx, dy = end[0] - start[0], end[1] - start[1]
    shift = -aside if dy > 0 else aside
    inward = shift if dx > 0 else -shift
    first = min((HALF_WIDTH - inward) / abs(dx) if dx else 1, HALF_HEIGHT / abs(dy) if dy else 1)
    last = min((HALF_WIDTH + inward) / abs(dx) if dx else 1, HALF_HEIGHT / abs(dy) if dy else 1)
    return (start[0] + shift + dx * first, start[1] + dy * first), (end[0] + shift - dx * last, end[1] - dy * last)


class StateDiagram(SphinxDirective):
    def run(self) -> list[nodes.Node]:
        return [nodes.raw("", svg(), format="html")]


def setup(app: Sphinx) -> dict[str, bool]:
    app.add_directive("state-diagram", StateDiagram)
    return {"parallel_read_safe": True}
