"""The source space as tensors: which atom stands for which place, and who sees whom."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.sparse.csgraph import shortest_path

from core_cases import SMALL, atom_widths, make_frames, two_islands
from mne_mmnet.dictionary.distances import cover
from mne_mmnet.dictionary.model import build_source_graph, build_source_model
from mne_mmnet.dictionary.patches import PatchScale, patch_matrices, synthesis_matrix
from mne_mmnet.network.mixing import LookAround

CONFIG = replace(
    SMALL,
    scales=(PatchScale("point"), PatchScale("gaussian", 9.0), PatchScale("flat", 22.0)),
    tangential=(0, 2),
    thinning=0.8,
)
N_SOURCES = 65


@pytest.fixture
def adjacency(rng):
    return two_islands(rng)


def test_places_and_atoms(adjacency):
    """An atom's own place has that atom; any other place has the nearest of its scale."""
    graph = build_source_graph(adjacency, CONFIG)
    assert (graph.n_sources, graph.n_kinds) == (N_SOURCES, 5)
    # tangential atoms are not there: their places stand for none
    assert (graph.atom_of[3 * N_SOURCES :] == graph.n_atoms).all()
    assert graph.n_atoms == graph.synthesis.shape[1] < 3 * N_SOURCES
    torch.testing.assert_close(graph.atom_of[graph.place_of], torch.arange(graph.n_atoms))
    lengths = shortest_path(adjacency, directed=False)
    n_atoms_of = []
    for number, scale in enumerate(CONFIG.scales):
        places = np.arange(number * N_SOURCES, (number + 1) * N_SOURCES)
        stands_for = graph.place_of[graph.atom_of[places]].numpy()
        assert (stands_for // N_SOURCES == number).all()
        found = lengths[np.arange(N_SOURCES), stands_for % N_SOURCES]
        assert (found <= CONFIG.thinning * scale.extent).all()
        centres = graph.place_of[graph.place_of // N_SOURCES == number].numpy() % N_SOURCES
        np.testing.assert_allclose(found, lengths[:, centres].min(axis=1))
        n_atoms_of.append(len(centres))
    # points are everywhere, wide patches are few
    assert n_atoms_of[0] == N_SOURCES > n_atoms_of[1] > n_atoms_of[2] >= 2


def test_places_of_both_kinds(adjacency):
    """Where the evidence settles the orientation, tangential atoms lie where normal ones do."""
    frames = make_frames("evidence", N_SOURCES)
    plain = build_source_graph(adjacency, CONFIG)
    graph = build_source_graph(adjacency, CONFIG, frames, "evidence")
    counts = [count for count, _ in plain.families]
    assert graph.families == (*((n, 1) for n in counts), (counts[0], 2), (counts[2], 2))
    assert graph.n_atoms == sum(counts) + counts[0] + counts[2]
    assert graph.synthesis.shape == (
        3 * N_SOURCES,
        sum(counts) + 2 * (counts[0] + counts[2]),
    )
    torch.testing.assert_close(graph.atom_of[graph.place_of], torch.arange(graph.n_atoms))
    torch.testing.assert_close(graph.place_of[: sum(counts)], plain.place_of)
    places, atoms = graph.place_of.split([*counts, counts[0], counts[2]]), graph.atom_of
    for family, scale in ((3, 0), (4, 2)):
        shift = (family - scale) * N_SOURCES
        torch.testing.assert_close(places[family], places[scale] + shift)
        there, here = (
            graph.place_of[atoms[k * N_SOURCES : (k + 1) * N_SOURCES]] for k in (family, scale)
        )
        torch.testing.assert_close(there, here + shift)


def test_regions(adjacency):
    """Each location is in the region of the nearest centre, whose errors are those of fields near.

    No region reaches another part of the graph.
    """
    graph = build_source_graph(adjacency, CONFIG)
    lengths = shortest_path(adjacency, directed=False)
    extent = CONFIG.region_extent
    centres, _ = cover(adjacency, extent)
    assert graph.n_regions == len(centres) > 5
    reach = graph.reach.to_dense().numpy()
    np.testing.assert_array_equal(reach, lengths[centres] <= extent)
    own = lengths[centres][graph.region_of, np.arange(N_SOURCES)]
    np.testing.assert_allclose(own, lengths[centres].min(axis=0))
    assert (own <= extent).all()
    np.testing.assert_array_equal(
        graph.region_of_atom, graph.region_of[graph.place_of % N_SOURCES]
    )


@pytest.mark.parametrize("kind", ["fixed", "free", "loose"])
def test_synthesis_follows_the_places(kind, adjacency):
    """Column k of the synthesis is the patch of the k-th atom's place."""
    frames = make_frames(kind, N_SOURCES)
    graph = build_source_graph(adjacency, CONFIG, frames, kind)
    assert graph.n_orient == (1 if kind == "fixed" else 3)
    patches = patch_matrices(adjacency, CONFIG.scales)
    whole = synthesis_matrix(patches, frames, kind).toarray()
    whole = whole.reshape(len(whole), -1, graph.n_orient)[:, graph.place_of]
    np.testing.assert_allclose(graph.synthesis.to_dense(), whole.reshape(len(whole), -1))


def test_features_by_location_and_answers_by_atom(adjacency):
    """Each location sees the nearest atom of every scale; an atom has the answer of its place."""
    graph = build_source_graph(adjacency, CONFIG)
    seen = graph.to_locations(torch.arange(2 * graph.n_atoms).view(1, 2, -1).expand(3, -1, -1))
    assert seen.shape == (3, N_SOURCES, 2 * graph.n_kinds)
    for scale in range(3):
        nearest = graph.atom_of[scale * N_SOURCES : (scale + 1) * N_SOURCES].expand(3, -1)
        torch.testing.assert_close(seen[..., scale], nearest)
        torch.testing.assert_close(seen[..., graph.n_kinds + scale], nearest + graph.n_atoms)
    for there in (3, 4):  # families that are not there
        assert not seen[..., [there, graph.n_kinds + there]].any()
    answers = torch.arange(graph.n_kinds * N_SOURCES).view(1, graph.n_kinds, -1).mT
    picked = graph.to_atoms(torch.cat([answers, -answers]))
    torch.testing.assert_close(picked, torch.stack([graph.place_of, -graph.place_of]))


def test_without_thinning_every_place_is_an_atom(adjacency):
    """A tiny spacing keeps all atoms, in the order of the places."""
    graph = build_source_graph(adjacency, replace(CONFIG, thinning=1e-6))
    torch.testing.assert_close(graph.place_of, torch.arange(3 * N_SOURCES))
    torch.testing.assert_close(graph.atom_of[: 3 * N_SOURCES], torch.arange(3 * N_SOURCES))
    torch.testing.assert_close(graph.cell_of, torch.arange(N_SOURCES))


def look_around(graph, x):
    """Own features, near, far and whole, side by side: the layer with the identity as weights."""
    layer = LookAround(x.shape[-1], 4 * x.shape[-1])
    torch.nn.init.eye_(layer.join.weight)
    torch.nn.init.zeros_(layer.join.bias)
    with torch.no_grad():
        return layer(graph, x)


def test_what_locations_show(adjacency, rng):
    """Neighbours see what the layer shows of a location, which itself and the mean are whole."""
    graph = build_source_graph(adjacency, CONFIG)
    x = torch.as_tensor(rng.standard_normal((2, N_SOURCES, 3))).float()
    layer = LookAround(3, 10, n_shown=2)
    torch.nn.init.eye_(layer.join.weight)
    torch.nn.init.zeros_(layer.join.bias)
    with torch.no_grad():
        own, near, far, whole = layer(graph, x).split((3, 2, 2, 3), -1)
        all_own, all_near, all_far, all_whole = look_around(graph, x).split(3, -1)
        show = layer.show.weight.mT
        torch.testing.assert_close(own, all_own)
        torch.testing.assert_close(whole, all_whole)
        torch.testing.assert_close(near, all_near @ show)
        torch.testing.assert_close(far, all_far @ show)


def test_look_around(adjacency, rng):
    """A location sees itself, a near average, its cell's far average, and the whole's mean."""
    graph = build_source_graph(adjacency, CONFIG)
    x = rng.standard_normal((2, N_SOURCES, 3))
    own, near, far, whole = look_around(graph, torch.as_tensor(x).float()).split(3, -1)
    np.testing.assert_allclose(own, x, rtol=1e-6)
    np.testing.assert_allclose(whole, x.mean(1, keepdims=True).repeat(N_SOURCES, 1), atol=1e-6)
    lengths = shortest_path(adjacency, directed=False)

    def average(extent, location):
        distance = lengths[location]
        weights = np.exp(-0.5 * (distance / extent) ** 2)
        weights[weights < 0.05] = 0.0  # where a patch ends
        return np.einsum("s,bsc->bc", weights / weights.sum(), x)

    for location in range(N_SOURCES):
        np.testing.assert_allclose(near[:, location], average(8.0, location), atol=1e-6)
    cell_of = graph.cell_of.numpy()
    cells = [np.flatnonzero(cell_of == cell) for cell in range(cell_of.max() + 1)]
    assert 2 <= len(cells) < N_SOURCES / 4
    for members in cells:  # one of them is the centre
        seen = far[:, members]
        np.testing.assert_array_equal(seen, seen[:, :1].expand_as(seen))
        candidates = [average(25.0, location) for location in members]
        assert min(np.abs(one - seen[:, 0].numpy()).max() for one in candidates) < 1e-6


def test_cells_do_not_join_islands(adjacency, rng):
    """Nothing is seen of another part of the graph but through the mean of the whole."""
    graph = build_source_graph(adjacency, CONFIG)
    lengths = shortest_path(adjacency, directed=False)
    island = np.isfinite(lengths[0])
    x = torch.zeros(1, N_SOURCES, 1)
    x[0, island] = 1.0
    _, near, far, _ = look_around(graph, x).unbind(-1)
    expected = torch.as_tensor(island).float()[None]
    torch.testing.assert_close(near, expected)
    torch.testing.assert_close(far, expected)


@pytest.mark.parametrize("orient", ["fixed", "free", "evidence"])
def test_selected_atoms(orient, adjacency, rng):
    """A model of some atoms has those columns, for each sample its own."""
    n_orient = 1 if orient == "fixed" else 3
    graph = build_source_graph(adjacency, CONFIG, make_frames(orient, N_SOURCES), orient)
    leadfield = torch.as_tensor(rng.standard_normal((1, 12, N_SOURCES, n_orient)))
    model, _ = build_source_model(leadfield, graph, 2, 0.1)
    chosen = tuple(
        torch.stack([torch.as_tensor(rng.permutation(count)[:2]) for _ in range(2)])
        for count, _ in graph.families
    )
    part = model.select_atoms(chosen)
    first = np.cumsum([0, *(count for count, _ in graph.families)])
    index = torch.cat([start + one for start, one in zip(first, chosen, strict=False)], 1)
    torch.testing.assert_close(
        part.columns[..., part.n_atom_columns :],
        model.columns[..., model.n_atom_columns :].expand(2, -1, -1),
    )
    torch.testing.assert_close(part.region_of_atom, model.region_of_atom[index])
    atoms = np.split(model.atoms[0].numpy(), np.cumsum(atom_widths(model))[:-1], axis=1)
    for k in range(2):
        expected = torch.as_tensor(np.concatenate([atoms[i] for i in index[k]], axis=1))
        torch.testing.assert_close(part.atoms[k], expected)
        torch.testing.assert_close(part.scale[k], model.scale[0, index[k]])
    # and so on: some of the selected ones
    few = part.select_atoms(tuple(torch.tensor([[1], [0]]) for _ in chosen))
    for k, number in enumerate((1, 0)):
        again = model.select_atoms(tuple(one[k : k + 1, [number]] for one in chosen))
        torch.testing.assert_close(few.columns[k], again.columns[0])
        torch.testing.assert_close(few.region_of_atom[k], again.region_of_atom[0])
