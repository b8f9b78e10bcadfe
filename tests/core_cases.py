"""Small random problems for the tests of the solver core: no MNE, no files."""

from dataclasses import asdict, is_dataclass, replace

import numpy as np
import torch
from scipy import sparse

from mne_mmnet.dictionary.model import SourceModel, build_source_graph, build_source_model
from mne_mmnet.dictionary.patches import PatchScale
from mne_mmnet.network import EvidenceNetwork, NetworkConfig, describe
from mne_mmnet.objective import N_NOISE, EvidenceObjective
from mne_mmnet.simulation import HeadArchive, PeopleArchive, SimulationConfig

SMALL = NetworkConfig(
    scales=(PatchScale("point"), PatchScale("gaussian", 8.0)),
    tangential=(0, 1),
    region_extent=14.0,
    hidden=12,
    blocks=2,
    shown=5,
    read=10,
    state=8,
    context=4,
    n_steps=6,
)
DOMAIN = asdict(SimulationConfig())


def draw(rng, *shape):
    """Normal numbers, as a float64 tensor."""
    return torch.as_tensor(rng.standard_normal(shape))


def ring(n_sources, spacing=6.0):
    """Sources on a circle, each joined to its two neighbours."""
    index = np.arange(n_sources)
    after = (index + 1) % n_sources
    edges = sparse.coo_array(
        (np.full(n_sources, spacing), (index, after)), shape=(n_sources, n_sources)
    )
    return sparse.csr_array(edges.maximum(edges.T))


def two_islands(rng, n_sources=(40, 25), reach=14.0):
    """Sources scattered over two squares that no edge joins, in random order."""
    parts = []
    for n in n_sources:
        points = rng.uniform(0.0, 8.0 * n**0.5, (n, 2))
        lengths = np.linalg.norm(points[:, None] - points, axis=2)
        chain = np.eye(n, k=1, dtype=bool) | np.eye(n, k=-1, dtype=bool)  # keeps it together
        parts.append(sparse.csr_array(np.where(chain | (lengths <= reach), lengths, 0.0)))
    order = rng.permutation(sum(n_sources))
    return sparse.csr_array(sparse.block_diag(parts, format="csr")[order][:, order])


def make_frames(orient, n_sources):
    """Directions of the columns: x, y and z, or those of a crumpled surface."""
    if orient == "fixed":
        return None
    if orient == "free":
        return np.broadcast_to(np.eye(3), (n_sources, 3, 3))
    rng = np.random.default_rng(5)
    return np.linalg.qr(rng.standard_normal((n_sources, 3, 3)))[0]


def make_model(
    leadfield,
    config=SMALL,
    adjacency=None,
    n_errors=0,
    share=0.0,
    deep=None,
    orient=None,
    frames=None,
):
    """Source model of lead fields (n_models, n_rank, n_sources, n_orient) on a ring."""
    leadfield = torch.as_tensor(leadfield, dtype=torch.float64)
    n_sources, n_orient = leadfield.shape[2:]
    adjacency = ring(n_sources) if adjacency is None else adjacency
    if orient is None:
        orient = "free" if n_orient == 3 else "fixed"
    frames = make_frames(orient, n_sources) if frames is None else frames
    graph = build_source_graph(adjacency, config, frames, orient)
    return build_source_model(leadfield, graph, n_errors, share, deep)


def facts_of(n_batch, model):
    """What a network is told of recordings on a head of one's own."""
    widths = {width for _, width in model.families}
    orient = "evidence" if len(widths) > 1 else "free" if model.n_orient == 3 else "fixed"
    return describe(n_batch, "own", orient, None, model.n_rank)


def atom_widths(model):
    """Columns of every atom."""
    counts, widths = zip(*model.families, strict=True)
    return np.repeat(widths, counts)


def error_covariances(model):
    """Of every atom: what the lead field of its region gets wrong, E Eᵀ."""
    graph = model.graph
    errors = model.columns[0, :, model.n_atom_columns :].double().numpy()
    errors = errors.reshape(model.n_kept, graph.n_regions, model.n_errors)
    found = []
    for place in graph.place_of.tolist():
        part = errors[:, int(graph.region_of[place % graph.n_sources])]
        found.append(part @ part.T)
    return np.stack(found)


def atom_covariances(model):
    """A_i of every atom: what it sends to the sensors, and its region's errors."""
    ends = np.cumsum(atom_widths(model))
    columns = np.split(model.atoms[0].double().numpy(), ends[:-1], axis=1)
    assert ends[-1] == model.n_atom_columns
    return np.stack([part @ part.T for part in columns]) + error_covariances(model)


# lead fields that are hard for some step, "smooth" because neighbours are nearly alike
LEADFIELDS = ("generic", "smooth", "duplicated rows", "rank-deficient", "scattered norms")


def draw_leadfield(rng, kind, n_channels, n_sources, *n_orient):
    """Lead field (n_channels, n_sources, *n_orient) of a kind."""
    leadfield = rng.standard_normal((n_channels, n_sources, *n_orient))
    if kind == "smooth":
        leadfield = np.cumsum(leadfield, axis=1) + 100.0
    elif kind == "duplicated rows":
        leadfield[1::2] = leadfield[: 2 * (n_channels // 2) : 2]
    elif kind == "rank-deficient":
        leadfield[n_channels // 2 :] = 0.0
    elif kind == "scattered norms":
        scale = 10.0 ** rng.uniform(-6, 6, (1, n_sources))
        leadfield *= scale.reshape(1, n_sources, *(1 for _ in n_orient))
    return leadfield


def draw_data(rng, kind, n_batch, leadfield):
    """Data (n_batch, n_channels, n_times) of a kind, for a lead field (n_channels, n_sources)."""
    n_times = 1 if kind == "single sample" else int(rng.integers(2, 60))
    if kind == "rank-1":
        topography = leadfield[:, rng.integers(leadfield.shape[1], size=n_batch)].T
        return topography[:, :, None] * rng.standard_normal((n_batch, 1, n_times))
    data = rng.standard_normal((n_batch, len(leadfield), n_times))
    if kind == "smooth":
        data = np.cumsum(data, axis=2)
    elif kind == "zeros":
        data[: max(1, n_batch // 2)] = 0.0
    elif kind == "one channel":
        data[:, 1:] = 0.0
    elif kind == "constant":
        data[:] = 1.0
    return data


def to_double(model):
    """Return the same model in float64, for comparisons with autograd."""
    return SourceModel(
        model.columns.double(),
        model.basis.double(),
        model.noise.double(),
        model.scale.double(),
        replace(model.graph, synthesis=model.graph.synthesis.double()),
        model.families,
        model.region_of_atom,
    )


def dense_convolution(weight, n_times):
    """Matrix of a zero-padded convolution."""
    n_out, n_in, kernel = weight.shape
    matrix = torch.zeros(n_out, n_times, n_in, n_times, dtype=weight.dtype)
    for t in range(n_times):
        for tap in range(kernel):
            if 0 <= t + tap - kernel // 2 < n_times:
                matrix[:, t, :, t + tap - kernel // 2] = weight[:, :, tap]
    return matrix.reshape(n_out * n_times, n_in * n_times)


def assert_same(one, two):
    """Equal, array by array of the same types, in what may be nested."""
    if is_dataclass(one):
        one, two = vars(one), vars(two)
    if isinstance(one, dict):
        assert one.keys() == two.keys()
        for name, value in one.items():
            assert_same(value, two[name])
    elif sparse.issparse(one):
        assert_same(one.toarray(), two.toarray())
    elif isinstance(one, np.ndarray):
        np.testing.assert_array_equal(one, two)
        assert one.dtype == two.dtype
    else:
        assert one == two


def make_people(rng, gains, electrodes, positions, normals, adjacency, **fields):
    """People whose lead fields are known exactly; the template has the first one's."""
    gains = np.asarray(gains, np.float32)
    return PeopleArchive(
        standard=gains[0],
        true=gains,
        own=gains,
        fitted=gains,
        deep=rng.standard_normal((*gains.shape[:2], 4, 3)).astype(np.float32),
        electrodes=electrodes,
        groups=np.zeros(len(electrodes), int),
        positions=positions,
        normals=normals,
        adjacency=adjacency,
        **fields,
    )


def make_heads(rng, gains, **fields):
    """Heads with lead fields (n_heads, n_electrodes, n_sources, 3), sources on a ring."""
    n_electrodes, n_sources = np.shape(gains)[1:3]
    drawn = dict(
        electrodes=80 * rng.standard_normal((n_electrodes, 3)),
        groups=np.zeros(n_electrodes, int),
        positions=20 * rng.standard_normal((n_sources, 3)),
        normals=np.tile([0.0, 0.0, 1.0], (n_sources, 1)),
        adjacency=ring(n_sources),
    )
    return HeadArchive(np.asarray(gains, np.float32), **(drawn | fields))


def heads_of(people):
    """People's true lead fields as heads."""
    names = ("electrodes", "groups", "positions", "normals", "adjacency")
    return HeadArchive(people.true, **{name: getattr(people, name) for name in names})


def random_objective(rng, n_batch=2, n_rank=7, n_sources=9, orient="fixed", n_times=5):
    """Float64 objective with random costs and barriers, and a random point inside the box."""
    n_orient = 1 if orient == "fixed" else 3
    leadfield = rng.standard_normal((1, n_rank, n_sources, n_orient))
    # with errors of the lead field and deep sources, as at use
    deep = torch.as_tensor(rng.standard_normal((1, n_rank, 3)))
    model = to_double(make_model(leadfield, n_errors=2, share=0.2, deep=deep, orient=orient)[0])
    assert model.graph.n_regions > 2
    n_kept = model.n_kept
    # as if the sensor space had two more dimensions, which no source reaches
    model = replace(model, basis=torch.eye(n_kept, n_kept + 2, dtype=torch.float64)[None])
    n_variances = model.n_atoms + N_NOISE
    data = torch.as_tensor(rng.standard_normal((n_batch, n_kept, n_times))) / n_times**0.5
    rest = torch.as_tensor(rng.exponential(2.0, n_batch))
    cost = torch.as_tensor(rng.exponential(0.3, (n_batch, n_variances)))
    barrier = torch.zeros(n_batch, n_variances, dtype=torch.float64)
    barrier[:, -N_NOISE:] = torch.as_tensor(rng.exponential(0.3, (n_batch, N_NOISE)))
    v = torch.as_tensor(rng.uniform(-5.0, 2.0, (n_batch, n_variances)))
    return EvidenceObjective(model, data, rest, cost, barrier), v


def random_network(seed, spread, config=SMALL):
    """Draw a network whose weights are all random, of standard deviation ``spread``."""
    network = randomise(EvidenceNetwork(config).requires_grad_(False), seed, spread)
    network.confidence.tail.abs_()  # a share
    return network.eval()


@torch.no_grad()
def randomise(network, seed, spread):
    """Draw all weights anew."""
    generator = torch.Generator().manual_seed(seed)
    for parameter in network.parameters():
        parameter.copy_(spread * torch.randn(parameter.shape, generator=generator))
    return network
