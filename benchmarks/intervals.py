"""What tables of the benchmarks say of scores: means, intervals, and who is ahead."""

import numpy as np

from mne_mmnet.metrics import confidence_interval


def clustered_interval(values, groups, statistic=None, n_boot=2000):
    """95 % bootstrap interval in which whole groups are drawn: people, with all their recordings.

    Recordings of one person share their head: taken one by one they would look like more than
    there are. ``values`` are of shape (n_values, ...), and so are both ends but for the first
    axis; they are infinite where there is one group. ``statistic`` is of an array of drawn values,
    along its first axis; None is the mean, which is quick.
    """
    values, groups = np.asarray(values, float), list(groups)
    numbers = {group: k for k, group in enumerate(sorted(set(groups)))}
    if len(numbers) < 2:
        return np.full((2, *values.shape[1:]), np.inf) * np.reshape([-1, 1], (2, *_ones(values)))
    owner = np.array([numbers[group] for group in groups])
    drawn = np.random.default_rng(0).integers(len(numbers), size=(n_boot, len(numbers)))
    if statistic is None:
        total, count = np.zeros((len(numbers), *values.shape[1:])), np.bincount(owner)
        np.add.at(total, owner, values)
        found = total[drawn].sum(axis=1) / count[drawn].sum(axis=1).reshape(-1, *_ones(values))
    else:
        members = [values[owner == k] for k in range(len(numbers))]
        found = [statistic(np.concatenate([members[k] for k in one])) for one in drawn]
    return np.percentile(found, [2.5, 97.5], axis=0)


def _ones(values):
    """Shape that lets one number a row meet values of more axes."""
    return [1] * (values.ndim - 1)


def _interval(values, groups):
    return confidence_interval(values) if groups is None else clustered_interval(values, groups)


def mean_columns(name, values, groups=None):
    """Mean and interval, as columns of a table; groups are clusters, if there are any."""
    low, high = _interval(values, groups)
    return {name: f"{np.mean(values):.4g}", f"{name}_ci": f"{low:.4g} … {high:.4g}"}


def difference_columns(gain, more_is_better, groups=None):
    """Mean of paired differences, its interval, and the verdict, as columns of a table."""
    low, high = _interval(gain, groups)
    ahead, behind = (low > 0, high < 0) if more_is_better else (high < 0, low > 0)
    return dict(
        difference=f"{np.mean(gain):.4g}",
        low=f"{low:.4g}",
        high=f"{high:.4g}",
        verdict="lead" if ahead else "behind" if behind else "tie",
    )
