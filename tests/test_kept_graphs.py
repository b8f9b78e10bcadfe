"""Graphs of the last source spaces are built once, and never mistaken for each other."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest

from core_cases import SMALL, make_frames, two_islands
from mne_mmnet.dictionary.model import build_source_graph
from mne_mmnet.inverse import graphs


@pytest.fixture
def kept():
    """Count what is built."""
    built = []

    def build(*args):
        built.append(args)
        return build_source_graph(*args)

    kept = graphs._Kept(build)
    kept.built = built
    return kept


def test_built_once(kept, rng):
    adjacency = two_islands(rng)
    first = kept(adjacency, SMALL, None, "fixed", "cpu")
    assert kept(adjacency.copy(), SMALL, None, "fixed", "cpu") is first
    assert kept(adjacency, replace(SMALL), None, "fixed", "cpu") is first
    assert len(kept.built) == 1
    kept.clear()
    assert kept(adjacency, SMALL, None, "fixed", "cpu") is not first


def test_nothing_is_mistaken(kept, rng, monkeypatch):
    monkeypatch.setattr(graphs, "_KEPT", 10)
    adjacency = two_islands(rng)
    longer = adjacency.copy()
    longer.data = longer.data * 1.5
    frames = make_frames("loose", adjacency.shape[0])
    cases = [
        (adjacency, SMALL, None, "fixed", "cpu"),
        (longer, SMALL, None, "fixed", "cpu"),
        (adjacency, replace(SMALL, thinning=0.9), None, "fixed", "cpu"),
        (adjacency, SMALL, frames, "free", "cpu"),
        (adjacency, SMALL, frames, "evidence", "cpu"),
        (adjacency, SMALL, frames[::-1], "free", "cpu"),
    ]
    found = [kept(*case) for case in cases]
    assert len({id(graph) for graph in found}) == len(cases) == len(kept.built)
    assert [id(kept(*case)) for case in cases] == [id(graph) for graph in found]


def test_few_are_kept(kept, rng, monkeypatch):
    spaces = [two_islands(rng) for _ in range(graphs._KEPT + 1)]
    for adjacency in spaces:
        kept(adjacency, SMALL, None, "fixed", "cpu")
    kept(spaces[-1], SMALL, None, "fixed", "cpu")
    assert len(kept.built) == len(spaces)
    kept(spaces[0], SMALL, None, "fixed", "cpu")  # made room for the last
    assert len(kept.built) == len(spaces) + 1
    monkeypatch.setattr(graphs, "_MOST_SOURCES", 10)
    for _ in range(2):
        kept(spaces[0], SMALL, None, "fixed", "cpu")
    assert len(kept.built) == len(spaces) + 3


def test_threads(kept, rng):
    spaces = [two_islands(rng) for _ in range(5)]
    wanted = [build_source_graph(x, SMALL).n_atoms for x in spaces]
    with ThreadPoolExecutor(4) as pool:
        jobs = [pool.submit(kept, x, SMALL, None, "fixed", "cpu") for x in spaces * 6]
        found = np.array([job.result().n_atoms for job in jobs]).reshape(6, 5)
    assert (found == wanted).all()
