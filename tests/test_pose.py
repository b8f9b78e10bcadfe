"""What the evidence route makes of data and of a network's answers, number by number."""

import math

import pytest
import torch

from core_cases import SMALL, facts_of, make_model, random_network
from mne_mmnet.objective import N_NOISE, NOISE_MAX, NOISE_MIN, U_MIN
from mne_mmnet.solver import iterate, normalise_data, pose
from mne_mmnet.solver.evidence import _Proposer

NAN, INF = math.nan, math.inf


@pytest.fixture
def model(rng):
    """Twelve dimensions of which the sources reach eight."""
    leadfield = rng.standard_normal((1, 12, 30, 1))
    leadfield[:, 8:] = 0.0
    return make_model(leadfield)[0]


def draw_data(rng, n_times, n_batch=2):
    return normalise_data(torch.as_tensor(rng.standard_normal((n_batch, 12, n_times))))


class Answers:
    """In place of a network: a hyperprior and a curvature that answer what they are told to."""

    def __init__(self, cost=0.5, barrier=0.5, start=-1.0, summary=0.0, factor=1.0, state=0.0):
        self.config = SMALL
        self.curvature = _Curvature(factor, state)
        self.answers = cost, barrier, start, summary

    def hyperprior(self, context, graph, n_rank):
        n_batch = len(context.log_power)
        n_all = graph.n_atoms + N_NOISE
        *many, summary = (torch.as_tensor(answer) for answer in self.answers)
        many = [fill(answer, n_batch, n_all) for answer in many]
        return *many, fill(summary, n_batch, graph.n_sources * SMALL.context).view(
            n_batch, graph.n_sources, -1
        )


class _Curvature:
    """Answers the same factor and state at every iterate."""

    def __init__(self, factor, state):
        self.answers = factor, state

    def initial_state(self, n_batch, n_sources, like):
        return like.new_zeros(n_batch * n_sources, SMALL.state)

    def __call__(self, v, majorant, summary, graph, state, log_rank):
        factor, answer = (torch.as_tensor(one) for one in self.answers)
        return fill(factor, *v.shape), fill(answer, *state.shape)


def fill(values, *shape):
    """Repeat a few values along the last dimension."""
    values = values.to(torch.float32).flatten()
    return values.repeat(-(-shape[-1] // len(values)))[: shape[-1]].expand(shape).clone()


def posed(model, data, network, known=0.0, **options):
    scaled, amplitude = data
    facts = facts_of(len(scaled), model)
    known = torch.full((len(scaled),), known)
    return pose(network, model, scaled, amplitude, known, facts, **options)


@pytest.mark.parametrize("n_times", [1, 5, 12, 40])
def test_power_outside_the_basis(n_times, model, rng):
    """Data outside what the sources reach count as noise power, and the rest as data."""
    assert (model.n_rank, model.n_kept) == (12, 8)
    data = draw_data(rng, n_times)
    problem = posed(model, data, random_network(0, 0.1))
    outside = data[0][:, 8:].square().sum((1, 2)) / n_times
    inside = data[0][:, :8].square().sum((1, 2)) / n_times
    torch.testing.assert_close(problem.objective.rest, outside, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(problem.objective.data.square().sum((1, 2)), inside)
    whole = posed(make_model(rng.standard_normal((1, 12, 30, 1)))[0], data, random_network(0, 0.1))
    assert (whole.objective.rest >= 0).all()
    assert (whole.objective.rest < 1e-4).all()


def test_level_of_known_noise(model, rng):
    """Data power over the noise's, cut to the box of the noise levels; 0 where it is unknown."""
    scaled, _ = draw_data(rng, 5, n_batch=4)
    amplitude = torch.tensor([3.0, 1e-9, 1e9, 0.0])
    data = scaled, amplitude
    known = posed(model, data, random_network(0, 0.1), known=1.0).context.log_power
    expected = [2.0 * math.log(3.0), -NOISE_MAX, -NOISE_MIN, -NOISE_MAX]
    torch.testing.assert_close(known, torch.tensor(expected))
    unknown = posed(model, data, random_network(0, 0.1), known=0.0).context.log_power
    torch.testing.assert_close(unknown, torch.zeros(4))


def test_prior_variances(model, rng):
    """Costs are divided, barriers and starts multiplied, by them; those of the noise stay."""
    log_prior = torch.as_tensor(rng.uniform(-1.0, 1.0, model.n_atoms), dtype=torch.float32)
    data = draw_data(rng, 5)
    plain = posed(model, data, Answers())
    shifted = posed(model, data, Answers(), log_prior=log_prior)
    before, after = plain.objective, shifted.objective
    ratio = after.cost / before.cost
    torch.testing.assert_close(ratio[:, :-N_NOISE], (-log_prior).exp().expand(2, -1))
    change = shifted.start - plain.start
    torch.testing.assert_close(change[:, :-N_NOISE], log_prior.expand(2, -1))
    assert (ratio[:, -N_NOISE:] == 1).all()
    assert (change[:, -N_NOISE:] == 0).all()
    ratio = after.barrier / before.barrier
    torch.testing.assert_close(ratio[:, :-N_NOISE], log_prior.exp().expand(2, -1))
    assert (ratio[:, -N_NOISE:] == 1).all()


def test_answers_that_make_no_sense(model, rng):
    """Each has its neutral value: no cost, a bounded one, the lowest variance, no summary."""
    answers = [NAN, INF, -INF, -3.0, 2e6, 0.25]
    tame = [0.0, 1e6, 0.0, 0.0, 1e6, 0.25]
    tame_barrier = [1e-3, 1e6, 0.0, 0.0, 1e6, 0.25]
    network = Answers(answers, answers, [NAN, 0.25], [NAN, INF, -INF, 0.25])
    problem = posed(model, draw_data(rng, 5), network)
    n_all = model.n_atoms + N_NOISE
    objective = problem.objective
    assert torch.equal(objective.cost, fill(torch.tensor(tame), 2, n_all))
    barrier = fill(torch.tensor(tame_barrier), 2, n_all)
    assert torch.equal(objective.barrier[:, :-N_NOISE], barrier[:, :-N_NOISE])
    lowest = barrier[:, -N_NOISE:].clamp_min(1e-3)
    assert torch.equal(objective.barrier[:, -N_NOISE:], lowest)
    atoms = problem.start[:, :-N_NOISE]
    assert torch.equal(atoms, fill(torch.tensor([U_MIN, 0.25]), *atoms.shape))
    summary = problem.summary.flatten(1)
    assert torch.equal(summary, fill(torch.tensor([0.0, 0.0, 0.0, 0.25]), *summary.shape))


def test_noise_always_has_a_barrier(model, rng):
    """Without one the objective would have no lower bound."""
    problem = posed(model, draw_data(rng, 5), Answers(barrier=0.0))
    assert (problem.objective.barrier[:, :-N_NOISE] == 0).all()
    assert (problem.objective.barrier[:, -N_NOISE:] == 1e-3).all()


def test_proposals(model, rng):
    """The learned factor in its bounds, raised twice, then nowhere below 1."""
    low, high = SMALL.factor_min, SMALL.factor_max
    problem = posed(model, draw_data(rng, 5), Answers())
    network = Answers(factor=[NAN, 0.0, 1e9, 0.9], state=[NAN, INF, -INF, 0.5])
    proposer = _Proposer(network, problem)
    point = problem.objective.evaluate(problem.start)
    a, b = problem.objective.coefficients(point)
    plain = 0.5 * (b.clamp_min(1e-30) / a.clamp_min(1e-30)).log()
    proposals = list(proposer(point))
    factor = fill(torch.tensor([1.0, low, high, 0.9]), *a.shape)
    assert low < 1.0 < high
    expected = [factor, 2.0 * factor, 4.0 * factor, factor.clamp_min(1.0)]
    assert [proposal.analytic for proposal in proposals] == [False, False, False, True]
    # the first step is one of all atoms
    assert all(proposal.scope is problem.objective for proposal in proposals)
    index = torch.tensor([1, 0])
    for proposal, o in zip(proposals, expected, strict=True):
        step = (plain / o).clamp(-SMALL.max_step, SMALL.max_step)
        torch.testing.assert_close(proposal.step(index), step[index], rtol=1e-4, atol=1e-4)
    assert (plain.abs() / low > SMALL.max_step).any()  # there was something to cut
    tame = fill(torch.tensor([0.0, 0.0, 0.0, 0.5]), *proposer.state.shape)
    assert torch.equal(proposer.state, tame)


def test_number_of_steps(model, rng):
    problem = posed(model, draw_data(rng, 5), Answers())
    assert len(list(iterate(Answers(), problem))) == SMALL.n_steps + 1
    assert len(list(iterate(Answers(), problem, 2))) == 3
