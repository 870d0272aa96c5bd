"""Columns of a table as tracks, and where their rows stand in the table."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from decimal import Decimal

import numpy as np
from numpy.typing import NDArray

from ..media.rows.tracks import Column
from ..media.tracks import Tracks
from ..runtime.errors import InputError
from .layout import Form, Layout, told

FRAMES = ("frame", "frame_id", "frameid", "frame_number", "framenumber", "t", "time", "timestamp")
AGENTS = ("track_id", "trackid", "agent", "agent_id", "id", "nflid", "nfl_id", "player", "player_id", "object_id")
SPARSE = 24  #: times the rows that frames and agents may have places

Values = NDArray[np.int64]
Gaps = NDArray[np.bool_]


def arranged(layout: Layout, values: Values, missing: NDArray[np.bool_]) -> Iterator[Tracks]:
    """Tracks of agents, where the columns tell frame and agent; else, and if these do not do, of rows.

    values, missing: int64 and bool (rows, columns), of the layout's forms.
    """
    for frame, agent in named(layout):
        if len(values) and not (missing[:, frame] | missing[:, agent]).any() and not layout.forms[frame].words:
            ids = values[:, agent]
            for order in (np.unique(ids), np.array(list(dict.fromkeys(ids.tolist())), np.int64)):
                yield from _of_agents(replace(layout, frame=frame, agent=agent), values, missing, order)
    columns = tuple(grid(form) for form in layout.forms)
    yield told(Tracks(values[:, None], columns, missing[:, None]), layout)


def _orders(t: Values, a: Values) -> tuple[tuple[int, ...], ...]:
    """(frame, agents ...) of frames whose rows stand in another order than the agents' own; frames rise."""
    ends = np.flatnonzero(np.diff(t)) + 1
    parts = zip(np.split(t, ends), np.split(a, ends), strict=True)
    return tuple((int(frame[0]), *map(int, own)) for frame, own in parts if (np.diff(own) < 0).any())


def named(layout: Layout) -> Iterator[tuple[int, int]]:
    """Where frame and agent may stand: by their names, or, in a table without names, in front, in either order."""
    names = [form.name.strip().lower() for form in layout.forms]
    if not layout.header:
        yield from ((1, 0), (0, 1)) if len(names) > 2 else ()
        return
    found = [next((names.index(one) for one in known if one in names), None) for known in (FRAMES, AGENTS)]
    if found[0] is not None and found[1] is not None:
        yield found[0], found[1]


def _of_agents(
    layout: Layout, values: Values, missing: NDArray[np.bool_], ids: Values
) -> Iterator[Tracks]:
    """With the agents in the order of ``ids``."""
    assert layout.frame is not None and layout.agent is not None
    frames = values[:, layout.frame]
    step = int(np.gcd.reduce(np.diff(np.unique(frames)))) or 1
    start = int(frames.min())
    count = (int(frames.max()) - start) // step + 1
    rest = [n for n in range(values.shape[1]) if n not in (layout.frame, layout.agent)]
    if count * len(ids) > SPARSE * (len(values) + 64) or not rest:
        return
    t = (frames - start) // step
    a = np.argsort(ids)[np.searchsorted(np.sort(ids), values[:, layout.agent])]
    if len(np.unique(t * len(ids) + a)) < len(values):
        return  # an agent stands twice in a frame
    made, gaps = np.zeros((count, len(ids), len(rest)), np.int64), np.ones((count, len(ids), len(rest)), bool)
    there = np.zeros((count, len(ids)), bool)
    made[t, a], gaps[t, a], there[t, a] = values[:, rest], missing[:, rest], True
    empty = tuple(map(tuple, np.argwhere(there & gaps.all(2)).tolist()))
    form = layout.forms[layout.agent]
    columns = tuple(grid(layout.forms[n]) for n in rest)
    tracks = Tracks(made, columns, gaps, tuple(form.cell(int(one)) for one in ids))
    own = replace(layout, start=start, step=step, rows=empty)
    bare = replace(form, words=())  # the names are the agents'
    own = replace(own, forms=tuple(bare if n == layout.agent else one for n, one in enumerate(layout.forms)))
    if (np.diff(t) >= 0).all():
        yield told(tracks, replace(own, orders=_orders(t, a)))
    else:
        yield told(tracks, replace(own, by_agent=True))


def grid(form: Form) -> Column:
    """The feature that a column is."""
    return Column(form.name, Decimal(1).scaleb(-form.decimals))


def plainly(tracks: Tracks) -> Tracks:
    """With a layout: a line for each frame and agent, frame, agent, features.

    Raises InputError for steps that no decimals have.
    """
    features = [
        Form(column.name or f"feature {n}", max(0, -int(column.step.as_tuple().exponent)))
        for n, column in enumerate(tracks.columns)
    ]
    grids = zip(tracks.columns, features, strict=True)
    if any(column.step != grid(form).step or column.offset for column, form in grids):
        raise InputError("a table holds columns of steps 1, 0.1, 0.01, … from 0: take the values from floats()")
    names = tracks.names or tuple(map(str, range(tracks.values.shape[1])))
    gaps = tracks.gaps
    empty = tuple(map(tuple, np.argwhere(gaps.all(2)).tolist()))
    forms = (Form("frame"), Form("agent"), *features)
    layout = Layout(",", "\n", True, False, True, forms, 0, 1, rows=empty)
    return told(replace(tracks, names=names), layout)


def places(tracks: Tracks, layout: Layout) -> Values:
    """int64 (rows, 2): frame and agent of each row. Raises IndexError, ValueError where the layout does not fit."""
    gaps = tracks.gaps
    if layout.frame is None or layout.agent is None:
        return np.stack([np.arange(len(gaps)), np.zeros(len(gaps), np.int64)], 1)
    there: Gaps = np.logical_not(gaps.all(2))
    for t, a in layout.rows:
        there[t, a] = True
    where = np.argwhere(there.T)[:, ::-1] if layout.by_agent else np.argwhere(there)
    for t, *agents in layout.orders:
        begin, end = np.searchsorted(where[:, 0], [t, t + 1])
        if sorted(agents) != where[begin:end, 1].tolist():
            raise ValueError(f"the order of frame {t} is not of its agents")
        where[begin:end, 1] = agents
    return where


Cells = tuple[Values | list[str], Gaps]


def columns_of(tracks: Tracks, layout: Layout) -> list[Cells]:
    """(numbers int64 (rows,), of a column that was of words these; where there is none) of each column of the table.

    Mirror of :func:`arranged`. Raises IndexError, TypeError, ValueError where the layout does not fit.
    """
    t, a = places(tracks, layout).T
    named = layout.frame is not None and layout.agent is not None
    told = (layout.frame, layout.agent) if named else ()
    features = [form for n, form in enumerate(layout.forms) if n not in told]
    out: list[Cells] = []
    for n, form in enumerate(features):
        values, gaps = tracks.values[t, a, n], tracks.gaps[t, a, n]
        pairs = zip(values.tolist(), gaps.tolist(), strict=True)
        words = [form.missing if gap else form.cell(value) for value, gap in pairs] if form.words else None
        out.append((values if words is None else words, gaps))
    if layout.frame is not None and layout.agent is not None:
        none = np.zeros(len(t), np.bool_)
        own: dict[int, Cells] = {layout.frame: (layout.start + layout.step * t, none)}
        own[layout.agent] = ([tracks.names[k] for k in a.tolist()], none)
        for n in sorted(own):
            out.insert(n, own[n])
    if len(out) != len(layout.forms):
        raise ValueError(f"{len(layout.forms)} columns are told of, there are {len(out)}")
    return out
