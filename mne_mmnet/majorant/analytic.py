r"""Closed-form curvature bounds of the cosine objective.

Notation: z = Lx, β = ‖Φ(x)‖, ρ and α, a as in :class:`mne_mmnet.objective.cosine.Smoothness`.

**The data term, everywhere: c = 4.** For f(z) = 1 − cos(z, y) and any z_k, z ≠ 0,

    f(z) ≤ f(z_k) + ∇f(z_k)ᵀ(z − z_k) + (c / 2‖z_k‖²) ‖z − z_k‖²   with c = 4.

*Proof.* f is free of scale, so let ‖z_k‖ = 1, z_k = e, and y of unit norm; let z = r u with
‖u‖ = 1, τ = eᵀu, t = 1 − τ ∈ [0, 2] and b = 1 − r. As ∇f(e) = (eᵀy) e − y, the claim is
yᵀv ≤ (c/2) ‖z − e‖² with v = (1 − rτ) e − b u, and since y is any unit vector, ‖v‖ ≤ 2 D with
D = ‖z − e‖² = b² + 2rt. Expanding, ‖v‖² = 2tb² + 2rt² − r²t², hence

    4D² − ‖v‖² = 4b⁴ + (16r − 2) b² t + (17r² − 2r) t² =: G(t).

G(0) = 4b⁴ ≥ 0; at t = 2 (u = −e) ‖v‖ = 2 ≤ 2(1 + r)² = 2D, so G(2) ≥ 0. For r ≤ 2/17 G is
concave in t, hence non-negative between. For r ≥ 1/8 all three terms are non-negative. For
2/17 < r < 1/8 the third is positive and 4b² + (16r − 2) t ≥ 4 (7/8)² − 2 (2 − 32/17) > 0. ∎ With
y = e and z → 0 from the side of −e, f rises by 2 while the bound rises by c/2: no smaller c will
do.

**The data term, locally: 2/√3.** The Hessian of f at z is, with z = r ẑ, y = γẑ + σw and w ⊥ ẑ a
unit vector, [γ(I − ẑẑᵀ) + σ(ẑwᵀ + wẑᵀ)]/r². Its eigenvalues are γ and (γ ± √(4 − 3γ²))/2, over
r²; the largest in absolute value over γ ∈ [−1, 1] is at γ = ±1/√3, where it is 2/√3.

**The regulariser.** g(x) = 1 − x̂ᵀφ̂, hats for unit vectors, φ = Φ(x). From the proof above (its
y is any unit vector) the map x ↦ x̂ differs from its linear part by at most 2‖d‖²/‖x‖² in norm, x̂
itself moves by at most 2‖d‖/‖x‖, and the linear part's norm is at most 1/‖x‖. φ moves by at most
ρ‖d‖, and differs from its linear part by at most (a/2)‖d‖². Collecting what is not linear in d,

    |g(x + d) − g(x) − ∇g(x)ᵀd| ≤ [2/‖x‖² + 2ρ²/β² + a/2β + 2·2ρ/(‖x‖β)] ‖d‖²,

so that **κ_g = 4 (1/‖x‖ + ρ/β)² + a/β majorizes g everywhere**. The Hessian alone is bounded by
(2/√3)(1/‖x‖² + ρ²/β²) + 2ρ/(‖x‖β) + a/β. Both need a Φ with a Lipschitz gradient (the smooth
ReLU); at the kinks of a ReLU there is no quadratic majorant, and the solver's check of the
objective is what counts.

**Proposition 1** of the paper (arXiv 2602.03855): μ₁ = 5‖L‖²/‖Lx‖² and
μ₂ = (5ρ + 1)/(β‖x‖) + 2α√s/β + 4(ρ/β + 1/‖x‖)², s the dimension of x. With a ≤ α√s, μ₁ and μ₂
are above the constants just proved: Proposition 1 majorizes everywhere as well.
"""

from .base import ScalarMajorant

# constants of the data term: everywhere, and of the Hessian
GLOBAL = 4.0
LOCAL = 2.0 / 3.0**0.5


def _split(point):
    """1/‖x‖, 1/‖Lx‖ and 1/β of each sample (0 for a zero norm is cut off)."""
    return point.norms.clamp_min(1e-300).reciprocal().unbind(1)


def data_weight(point):
    """Return 4/‖Lx‖², the weight of LᵀL in a majorant of the data term, shape (n_batch,)."""
    return GLOBAL * point.norms[:, 1].clamp_min(1e-150).reciprocal().square()


class Proposition1Majorant(ScalarMajorant):
    """κ = μ₁ + λμ₂ of the paper's Proposition 1.

    Parameters
    ----------
    objective, point, gradient : CosineObjective, CosinePoint, torch.Tensor
        F, ``objective.evaluate(x)`` and ``objective.gradient(point)``.
    """

    def __init__(self, objective, point, gradient):
        by_x, by_seen, by_image = _split(point)
        slope, bend, _ = objective.regulariser.smoothness()
        dimension = point.x[0].numel()
        data = 5.0 * (objective.norm * by_seen) ** 2
        prior = (
            (5.0 * slope + 1.0) * by_image * by_x
            + 2.0 * bend * dimension**0.5 * by_image
            + 4.0 * (slope * by_image + by_x) ** 2
        )
        super().__init__(gradient, data + objective.weight * prior)


def regulariser_curvature(objective, point, scope="global"):
    """κ_g, the curvature bound of 1 − cos(x, Φ(x)) (see the module's text).

    Parameters
    ----------
    objective : CosineObjective
        F.
    point : CosinePoint
        Where.
    scope : "global" | "local"
        Majorant everywhere, or bound of the Hessian.

    Returns
    -------
    curvature : torch.Tensor of shape (n_batch,)
        κ_g, without λ.
    """
    by_x, _, by_image = _split(point)
    slope, _, joint_bend = objective.regulariser.smoothness()
    through = slope * by_image
    if scope == "global":
        return GLOBAL * (by_x + through) ** 2 + joint_bend * by_image
    return LOCAL * (by_x**2 + through**2) + 2.0 * by_x * through + joint_bend * by_image


class SharpMajorant(ScalarMajorant):
    """κ = c ‖L‖²/‖Lx‖² + λ κ_g with the constants proved in this module.

    Parameters
    ----------
    objective, point, gradient : CosineObjective, CosinePoint, torch.Tensor
        F, ``objective.evaluate(x)`` and ``objective.gradient(point)``.
    scope : "global" | "local"
        "global" (c = 4) majorizes everywhere; "local" (c = 2/√3) bounds the Hessian at x, a bolder
        step that the certificate has to admit.
    """

    def __init__(self, objective, point, gradient, scope="global"):
        _, by_seen, _ = _split(point)
        constant = {"global": GLOBAL, "local": LOCAL}[scope]
        data = constant * (objective.norm * by_seen) ** 2
        prior = regulariser_curvature(objective, point, scope)
        super().__init__(gradient, data + objective.weight * prior)
