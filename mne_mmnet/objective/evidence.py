"""The evidence objective of DESIGN §2b: value, majorant coefficients and read-out.

Notation, in the whitened and power-normalised sensor space of dimension n::

    Σ(u, ℓ) = e^{ℓ₁} I + e^{ℓ₂} B₂ + e^{ℓ₃} B₃ + Σ_i e^{u_i} A_i ,   C = Y Yᵀ
    J(u, ℓ) = log|Σ| + tr(C Σ⁻¹) + Σ_i w_i e^{u_i} + Σ_m ν_m (e^{ℓ_m−μ_m} + e^{μ_m−ℓ_m})

Σ is needed only on the n_kept dimensions that the dictionary reaches (``model.basis``); on the
others it is e^{ℓ₁} I, so that they add (n − n_kept) ℓ₁ + c e^{−ℓ₁} to J, c the data power there.

A_i = l̃_i l̃_iᵀ + E_r E_rᵀ is what the atom i sends to the sensors, and what the lead field of
its region r gets wrong (:class:`mne_mmnet.dictionary.model.SourceModel`).

The variances of the atoms (u) and of the three noise terms (ℓ: white, activity of the whole
cortex, of places deep inside the head) enter in the same way, so they are handled as one vector
v = (u, ℓ) of log-variances of length n_atoms + 3.
"""

from dataclasses import dataclass, replace

import torch

from ..dictionary.model import SourceModel
from .factorisation import factor_dtype, inverse_factor, robust_cholesky
from .products import gram, quadratics
from .sparse import sparse_product

# log-variances stay in this box, in units of the mean data power a channel. The lower bound of the
# white noise keeps cond(Σ) ≲ n²·1e4, which a float64 Cholesky of a float32 Σ can stand.
U_MIN, U_MAX = -16.0, 10.0
NOISE_MIN, NOISE_MAX = -9.2, 4.0
N_NOISE = 3


@dataclass(frozen=True)
class EvidencePoint:
    """Log-variances, Σ factored there, and the objective.

    Parameters
    ----------
    v : torch.Tensor of shape (n_batch, n_atoms + 3)
        Log-variances.
    whiten : torch.Tensor of shape (n_batch, n_kept, n_kept)
        K⁻¹, Σ = K Kᵀ.
    data : torch.Tensor of shape (n_batch, n_kept, n_factors)
        K⁻¹ Y.
    value : torch.Tensor of shape (n_batch,)
        J.
    """

    v: torch.Tensor
    whiten: torch.Tensor
    data: torch.Tensor
    value: torch.Tensor


@dataclass(frozen=True)
class EvidenceObjective:
    """J(v) for a batch of data sets; fixed once made.

    Parameters
    ----------
    model : SourceModel
        Lead field and dictionary.
    data : torch.Tensor of shape (n_batch, n_kept, n_factors)
        Y in the model's basis, any factor of the data covariance C = Y Yᵀ.
    rest : torch.Tensor of shape (n_batch,)
        c, the power of the data outside the basis.
    cost : torch.Tensor of shape (n_batch, n_atoms + 3)
        Coefficients of e^v: w_i for the atoms, ν e^{−μ} for the noise terms.
    barrier : torch.Tensor of shape (n_batch, n_atoms + 3)
        Coefficients of e^{−v}: 0 for the atoms, ν e^{μ} for the noise terms. The noise terms'
        are what makes J bounded below when C is rank-deficient.
    frozen : torch.Tensor of shape (n_batch, n_kept, n_kept) | None
        Covariance of atoms that are not in the model and do not change; J is then without their
        cost.
    """

    model: SourceModel
    data: torch.Tensor
    rest: torch.Tensor
    cost: torch.Tensor
    barrier: torch.Tensor
    frozen: torch.Tensor | None = None

    @property
    def n_outside(self):
        """Number of dimensions that the dictionary does not reach."""
        return self.model.n_rank - self.model.n_kept

    def project(self, v):
        """Nearest point of the box in which the log-variances live."""
        n_atoms = self.model.n_atoms
        return torch.cat(
            [
                v[:, :n_atoms].clamp(U_MIN, U_MAX),
                v[:, n_atoms:].clamp(NOISE_MIN, NOISE_MAX),
            ],
            dim=1,
        )

    def _covariance(self, variance):
        """Σ in the basis, (n_batch, n_kept, n_kept), in the factorisation's precision."""
        brain = self._brain(variance[:, : self.model.n_atoms])
        brain = brain if self.frozen is None else brain + self.frozen
        dtype = factor_dtype(variance.device)
        level = variance[:, self.model.n_atoms :].to(dtype)
        fields = level[:, 1:, None, None] * self.model.noise.to(dtype)
        sigma = fields.sum(1) + brain.to(dtype)
        sigma.diagonal(dim1=-2, dim2=-1).add_(level[:, :1])
        return sigma

    def _brain(self, variance):
        """Σ_i variance_i A_i."""
        return gram(self.model.columns, self.model.spread(variance))

    def freeze_all_but(self, v, active):
        """Return the objective in which some atoms move only, and v of those.

        Parameters
        ----------
        v : torch.Tensor of shape (n_batch, n_atoms + 3)
            Log-variances, at which the other atoms stay.
        active : tuple of torch.Tensor of shape (n_batch, n_active), int64
            The atoms of each family that move, by their numbers in it.

        Returns
        -------
        objective : EvidenceObjective
            Differs from J by a constant.
        part : torch.Tensor of shape (n_batch, n_active + 3)
            Log-variances of the active atoms and of the noise.
        index : torch.Tensor of shape (n_batch, n_active + 3), int64
            Where these are in v.
        """
        n_atoms, first, moving = self.model.n_atoms, 0, []
        for (count, _), chosen in zip(self.model.families, active, strict=True):
            moving.append(first + chosen)
            first += count
        moving = torch.cat(moving, 1)
        noise = torch.arange(n_atoms, n_atoms + N_NOISE, device=v.device)
        index = torch.cat([moving, noise.expand(len(v), -1)], 1)
        still = v[:, :n_atoms].exp().scatter(1, moving, 0.0)
        objective = replace(
            self,
            model=self.model.select_atoms(active),
            cost=self.cost.gather(1, index),
            barrier=self.barrier.gather(1, index),
            frozen=self._brain(still),
        )
        return objective, v.gather(1, index), index

    def move(self, point, step):
        """Return v + step, brought back into the box."""
        return self.project(point.v + step)

    def evaluate(self, v):
        """Factor Σ(v) and evaluate J(v).

        Parameters
        ----------
        v : torch.Tensor of shape (n_batch, n_atoms + 3)
            Log-variances.

        Returns
        -------
        point : EvidencePoint
            The factor and the value.
        """
        variance = v.exp()
        chol = robust_cholesky(self._covariance(variance))
        whiten = inverse_factor(chol)
        data = whiten @ self.data.to(chol.dtype)
        variance = variance.to(chol.dtype)
        level = v[:, self.model.n_atoms].to(chol.dtype)
        value = (
            2.0 * chol.diagonal(dim1=-2, dim2=-1).log().sum(-1)
            + data.square().sum((-2, -1))
            + self.n_outside * level
            + self.rest / variance[:, self.model.n_atoms]
            + (self.cost * variance + self.barrier / variance).sum(-1)
        )
        return EvidencePoint(v, whiten, data, value)

    def coefficients(self, point):
        """Coefficients of the separable majorant a e^δ + b e^{−δ} at v.

        a_i = e^{v_i} (z_i + w_i) and b_i = e^{v_i} q_i + barrier_i e^{−v_i}, with
        z_i = tr(A_i Σ⁻¹) and q_i = tr(A_i Σ⁻¹ C Σ⁻¹); the gradient of J is a − b (DESIGN §2b).

        Parameters
        ----------
        point : EvidencePoint
            ``self.evaluate(v)``.

        Returns
        -------
        a, b : torch.Tensor of shape (n_batch, n_atoms + 3)
            Both non-negative.
        """
        v = point.v
        model = self.model
        columns, noise = quadratics(model.columns, model.noise, point.whiten, point.data)
        # the dimensions that the dictionary does not reach hold white noise only
        precision = (-v[:, model.n_atoms]).to(noise.dtype).exp()
        outside = torch.stack([self.n_outside * precision, self.rest * precision**2], 1)
        noise = noise + torch.nn.functional.pad(outside[..., None], (0, N_NOISE - 1))
        z, q = torch.cat([model.collect(columns), noise.to(columns.dtype)], -1).unbind(1)
        variance = v.exp()
        a = variance * (z + self.cost.to(v.dtype))
        b = variance * q + self.barrier.to(v.dtype) / variance
        return a, b

    def posterior_mean(self, point, data):
        """Posterior mean of the source currents, X = S̃ diag(e^u) L̃ᵀ Σ⁻¹ y.

        Parameters
        ----------
        point : EvidencePoint
            ``self.evaluate(v)``.
        data : torch.Tensor of shape (n_batch, n_rank, n_times)
            Whitened data y.

        Returns
        -------
        currents : torch.Tensor of shape (n_batch, n_sources, n_orient, n_times)
            In A·m times the unit of ``data``.
        """
        inside = (self.model.basis @ data).to(point.whiten.dtype)
        dual = point.whiten.mT @ (point.whiten @ inside)
        return self._synthesise(point.v, dual)

    def data_covariance(self, point):
        """Σ in the whole whitened sensor space.

        Parameters
        ----------
        point : EvidencePoint
            ``self.evaluate(v)``.

        Returns
        -------
        sigma : torch.Tensor of shape (n_batch, n_rank, n_rank)
            Where the dictionary does not reach, white noise alone.
        """
        basis, dtype = self.model.basis.to(point.whiten.dtype), point.whiten.dtype
        level = point.v[:, self.model.n_atoms, None, None].to(dtype).exp()
        inside = self._covariance(point.v.exp())
        inside.diagonal(dim1=-2, dim2=-1).sub_(level[:, 0])
        sigma = basis.mT @ inside @ basis
        sigma.diagonal(dim1=-2, dim2=-1).add_(level[:, 0])
        return sigma

    def _synthesise(self, v, dual):
        """Source maps S̃ diag(e^u) L̃ᵀ d of sensor maps d, (n_batch, n_sources, n_orient, n)."""
        model = self.model
        gain = model.repeat_columns(v[:, : model.n_atoms].exp() * model.scale)
        amplitudes = (model.atoms.mT @ dual.to(v.dtype)).mul_(gain[:, :, None])
        n_batch, n_columns, n_maps = amplitudes.shape
        # one sparse product for the whole batch
        flat = amplitudes.permute(1, 0, 2).reshape(n_columns, n_batch * n_maps)
        synthesis = model.graph.synthesis
        currents = sparse_product(synthesis, flat.to(synthesis.device)).to(v.device)
        currents = currents.view(model.n_sources, model.n_orient, n_batch, n_maps)
        return currents.permute(2, 0, 1, 3)

    def posterior_power(self, point):
        """Power of the posterior mean, averaged over the samples that C comes from.

        Parameters
        ----------
        point : EvidencePoint
            ``self.evaluate(v)``.

        Returns
        -------
        power : torch.Tensor of shape (n_batch, n_sources, n_orient)
            In (A·m)² times the squared unit of the data.
        """
        return self._synthesise(point.v, point.whiten.mT @ point.data).square().sum(-1)

    def posterior_variance(self, point):
        """Posterior variance of the source currents, the same at every sample.

        diag(S̃ [Γ − Γ L̃ᵀ Σ⁻¹ L̃ Γ] S̃ᵀ), with Γ = diag(e^u) (Wipf & Nagarajan 2009). The
        variances Γ themselves are taken as known: the real uncertainty is larger.

        Parameters
        ----------
        point : EvidencePoint
            ``self.evaluate(v)``.

        Returns
        -------
        variance : torch.Tensor of shape (n_batch, n_sources, n_orient)
            In (A·m)² times the squared unit of the data.
        """
        model, v = self.model, point.v
        synthesis = model.graph.synthesis
        squared = torch.sparse_csr_tensor(
            synthesis.crow_indices(),
            synthesis.col_indices(),
            synthesis.values().square(),
            size=synthesis.shape,
            check_invariants=False,
        )
        prior = v[:, : model.n_atoms].exp() * model.scale.square()
        prior = squared @ model.repeat_columns(prior).mT.to(synthesis.device)
        prior = prior.to(v.device).mT.unflatten(1, (model.n_sources, model.n_orient))
        known = self._synthesise(v, point.whiten.mT).square().sum(-1)
        # their difference is positive but for rounding
        return torch.maximum(prior - known, 1e-6 * prior)

    def select(self, index):
        """Return the objective of some samples of the batch."""
        return EvidenceObjective(
            model=self.model.select(index),
            data=self.data[index],
            rest=self.rest[index],
            cost=self.cost[index],
            barrier=self.barrier[index],
            frozen=None if self.frozen is None else self.frozen[index],
        )
