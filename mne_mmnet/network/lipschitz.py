"""Upper bounds of how much a convolutional network can stretch its input (arrays only).

On the whole line of time a convolution is a family of matrices Ŵ(ω), one a frequency, and zero
padding is one more diagonal factor of 0 and 1 between the layers, as are the activations' slopes,
which lie in [0, 1]. So every bound here holds for windows of any length.
"""

import math

import torch

# frequencies at which norms are computed, at least
_N_FREQUENCIES = 64
# of the certificate of `sdp_norm`, and those that its search looks at
_N_CERTIFIED, _N_SEARCHED = 256, 32
# factors by which its answer is raised until the certificate holds
_RAISES = (1.002, 1.005, 1.01, 1.02, 1.05, 1.1, 1.3, 2.0)


def _check(weight):
    weight = weight.detach().double()
    if not bool(torch.isfinite(weight).all()):
        raise ValueError("The regulariser's weights are not finite; load or train others.")
    return weight


def _evaluate(coefficients, lags, n_frequencies):
    """Σ_τ C_τ e^{−iωτ} at the frequencies up to π: −ω has the conjugate, hence the same norm."""
    angles = 2.0 * math.pi * torch.arange(n_frequencies // 2 + 1, dtype=torch.float64)
    turns = torch.polar(torch.ones(()).double(), angles[:, None] / n_frequencies * -lags)
    return torch.einsum("ft,tij->fij", turns, coefficients.to(turns.dtype))


def _symbol(weight, n_frequencies):
    """Ŵ(ω), (n_frequencies / 2 + 1, n_out, n_in)."""
    return _evaluate(weight.permute(2, 0, 1), torch.arange(weight.shape[2]), n_frequencies)


def _gram(weight, n_frequencies):
    """Ŵ(ω)*Ŵ(ω); by its coefficients, so that many outputs cost nothing but one product each."""
    taps = weight.permute(2, 0, 1)
    kernel = len(taps)
    lags = torch.arange(1 - kernel, kernel)
    coefficients = torch.stack(
        [
            sum(taps[k].mT @ taps[k + lag] for k in range(max(0, -lag), min(kernel, kernel - lag)))
            for lag in lags.tolist()
        ]
    )
    return _evaluate(coefficients, lags, n_frequencies)


def _factor(gram):
    """R with R*R = ``gram``, or a little more than that."""
    size = gram.diagonal(dim1=1, dim2=2).real.sum(1).clamp_min(1e-300)
    eye = torch.eye(gram.shape[1], dtype=gram.dtype)
    return torch.linalg.cholesky(gram + 1e-10 * size[:, None, None] * eye).mH


def _largest(gram):
    """Largest eigenvalue of matrices (n_frequencies, n, n)."""
    return max(float(torch.linalg.eigvalsh(gram)[:, -1].max()), 0.0)


def _between(square, degree, n_frequencies):
    """Bound of a norm at all frequencies, given its largest square at some of them.

    For every u, ‖Ŵ(ω)u‖² is a trigonometric polynomial of that degree, which between N equally
    spaced frequencies exceeds its largest sample by a factor of no more than 1/cos(πm/N) (Ehlich &
    Zeller 1964, doi 10.1007/BF01111276).
    """
    return math.sqrt(square / math.cos(math.pi * degree / n_frequencies))


def convolution_norm(weight):
    """Upper bound of the spectral norm of a zero-padded convolution over time.

    Zero padding compresses the convolution on the whole line, whose norm is the largest
    ‖Ŵ(ω)‖₂, Ŵ(ω) = Σ_τ W_τ e^{−iωτ}.

    Parameters
    ----------
    weight : torch.Tensor of shape (n_out, n_in, kernel)
        The kernel.

    Returns
    -------
    norm : float
        Upper bound, within 1 % for kernels of 3.

    Raises
    ------
    ValueError
        If the kernel is not finite.
    """
    weight = _check(weight)
    if weight.shape[0] < weight.shape[1]:
        weight = weight.transpose(0, 1)
    kernel = weight.shape[2]
    n_frequencies = max(_N_FREQUENCIES, 16 * kernel)
    return _between(_largest(_gram(weight, n_frequencies)), kernel - 1, n_frequencies)


def averaged_norm(decode, inner, encode):
    """Upper bound of ‖W₃ D₂ W₂ D₁ W₁‖ over all diagonal D with entries in [0, 1].

    With D = (I + S)/2 and ‖S‖ ≤ 1 it is at most a quarter of

        ‖W₃W₂W₁‖ + ‖W₃W₂‖‖W₁‖ + ‖W₃‖‖W₂W₁‖ + ‖W₃‖‖W₂‖‖W₁‖

    (Combettes & Pesquet 2020, doi 10.1137/19M1272780), which is never above the product of the
    three norms.

    Parameters
    ----------
    decode, inner, encode : torch.Tensor of shape (n_out, n_in, kernel)
        W₃, W₂ and W₁.

    Returns
    -------
    norm : float
        The bound.
    """
    weights = [_check(weight) for weight in (decode, inner, encode)]
    degrees = [weight.shape[2] - 1 for weight in weights]
    n_frequencies = max(_N_FREQUENCIES, 16 * (sum(degrees) + 1))
    last = _factor(_gram(weights[0], n_frequencies))
    middle = _symbol(weights[1], n_frequencies)
    first = _factor(_gram(weights[2].transpose(0, 1), n_frequencies).conj()).mH

    def norm(product, *which):
        degree = sum(degrees[k] for k in which)
        return _between(_largest(product @ product.mH), degree, n_frequencies)

    three, two, one = norm(last, 0), norm(middle, 1), norm(first, 2)
    # the margin for frequencies in between may raise a part above the product of its norms
    late = min(norm(last @ middle, 0, 1), three * two)
    early = min(norm(middle @ first, 1, 2), two * one)
    together = min(norm(last @ middle @ first, 0, 1, 2), late * one, three * early)
    return 0.25 * (together + late * one + three * early + three * two * one)


class _Blocks:
    """The quadratic constraints of a network W₃ D₂ W₂ D₁ W₁, frequency by frequency.

    For h₁ = D₁W₁v and h₂ = D₂W₂h₁ with slopes in [0, 1], h ∘ (Wh' − h) ≥ 0 entry by entry. So
    with diagonal Λ ≥ 0, one entry a channel,

        ‖v‖² − ‖W₃h₂‖²/L² ≥ 2 h₁ᵀΛ₁(W₁v − h₁) + 2 h₂ᵀΛ₂(W₂h₁ − h₂) for all v, h₁, h₂

    proves ‖W₃h₂‖ ≤ L ‖v‖ (Fazlyab et al. 2019, arXiv 1906.04893). Minimising over v, then h₁, it
    becomes W₃*W₃ ⪯ L² M₂ with

        M₁ = 2Λ₁ − Λ₁W₁W₁*Λ₁,   M₂ = 2Λ₂ − Λ₂W₂M₁⁻¹W₂*Λ₂.
    """

    def __init__(self, decode, inner, encode, n_frequencies):
        self.one = _gram(encode.transpose(0, 1), n_frequencies).conj()  # W₁W₁*
        self.two = _symbol(inner, n_frequencies)
        self.three = _gram(decode, n_frequencies)

    def square(self, logs):
        """L², frequency by frequency, of Λ = exp(logs); None where a constraint fails."""
        first, second = logs.exp()
        metric = torch.diag(2.0 * first) - first[:, None] * self.one * first
        chol, failed = torch.linalg.cholesky_ex(metric)
        if bool(failed.any()):
            return None
        coupled = second[:, None] * self.two
        metric = torch.diag(2.0 * second) - coupled @ torch.cholesky_solve(coupled.mH, chol)
        chol, failed = torch.linalg.cholesky_ex(metric)
        if bool(failed.any()):
            return None
        half = torch.linalg.solve_triangular(chol, self.three, upper=False)
        whole = torch.linalg.solve_triangular(chol, half.mH, upper=False)
        return torch.linalg.eigvalsh(0.5 * (whole + whole.mH))[:, -1]

    def start(self):
        """Λ that the norms of the layers, one after the other, make feasible."""
        n = self.two.shape[1]
        first = 1.0 / max(_largest(self.one), 1e-12)
        metric = 2.0 * first * torch.eye(n) - first**2 * self.one
        through = self.two @ torch.linalg.solve(metric, self.two.mH)
        second = 1.0 / max(_largest(through), 1e-12)
        return torch.tensor([[first], [second]], dtype=torch.float64).log().repeat(1, n)

    def holds(self, logs, square, degree):
        """Whether L² is proved at all frequencies, those between the samples too.

        What must be positive semidefinite is, v eliminated and divided by √Λ on both sides,

            [2I − Λ₁^½W₁W₁*Λ₁^½    −Λ₁^−½W₂*Λ₂^½           ]
            [ −Λ₂^½W₂Λ₁^−½         2I − Λ₂^−½W₃*W₃Λ₂^−½/L² ] .

        u*P(ω)u is a trigonometric polynomial: from samples in [ε, B] it departs by no more than
        (B − ε)/2 · (1/cos(πm/N) − 1) (Ehlich & Zeller 1964), which ε has to cover.
        """
        first, second = (0.5 * logs).exp()
        eye = torch.eye(len(first), dtype=torch.float64)
        side = -second[:, None] * self.two / first
        matrix = torch.cat(
            [
                torch.cat([2.0 * eye - first[:, None] * self.one * first, side.mH], 2),
                torch.cat([side, 2.0 * eye - self.three / (square * second[:, None] * second)], 2),
            ],
            1,
        )
        most = 2.0 + math.sqrt(_largest(side @ side.mH))  # the diagonal blocks are at most 2
        n_frequencies = 2 * (len(self.two) - 1)
        depart = 1.0 / math.cos(math.pi * degree / n_frequencies) - 1.0
        least = 0.5 * most * depart + 1e-10
        shifted = matrix - least * torch.eye(2 * len(eye), dtype=torch.float64)
        return not bool(torch.linalg.cholesky_ex(shifted)[1].any())


def sdp_norm(decode, inner, encode, n_iterations=60):
    """Upper bound of ‖W₃ D₂ W₂ D₁ W₁‖ by semidefinite programming, one frequency at a time.

    Adam looks for the multipliers Λ at a few frequencies; whatever it finds is then proved at all
    of them (Cholesky, and a margin for what lies between the samples). Convolutions make of one
    large program many small ones.

    Parameters
    ----------
    decode, inner, encode : torch.Tensor of shape (n_out, n_in, kernel)
        W₃, W₂ and W₁.
    n_iterations : int
        Of Adam: half a second each for 128 channels.

    Returns
    -------
    norm : float
        The bound; infinite if nothing could be proved.
    """
    weights = [_check(weight) for weight in (decode, inner, encode)]
    norms = [convolution_norm(weight) for weight in weights]
    if min(norms) == 0.0:
        return 0.0
    weights = [weight / norm for weight, norm in zip(weights, norms, strict=True)]
    degree = max(weight.shape[2] - 1 for weight in weights)
    blocks = _Blocks(*weights, _N_SEARCHED)
    logs = blocks.start()
    best, kept = math.inf, logs.clone()
    with torch.inference_mode(False), torch.enable_grad():
        moving = logs.clone().requires_grad_(True)
        optimiser = torch.optim.Adam([moving], lr=0.1)
        for _ in range(n_iterations + 1):
            squares = blocks.square(moving)
            if squares is None:  # back to what was feasible, and more carefully
                with torch.no_grad():
                    moving.copy_(kept - 0.01)
                optimiser.param_groups[0]["lr"] *= 0.5
                continue
            if float(squares.detach().max()) < best:
                best, kept = float(squares.detach().max()), moving.detach().clone()
            optimiser.zero_grad()
            (torch.logsumexp(60.0 * squares.log(), 0) / 60.0).backward()
            optimiser.step()
    blocks = _Blocks(*weights, max(_N_CERTIFIED, 64 * degree))
    for factor in _RAISES:
        # the multipliers shrink with it: they keep the first constraint, where it was tight, true
        if blocks.holds(kept - math.log(factor) / 2.0, best * factor**2, degree):
            return math.sqrt(best) * factor * math.prod(norms)
    return math.inf
