"""The regulariser Φ_θ of the cosine objective: a convolutional autoencoder over time."""

import math

import torch
from torch import nn
from torch.nn.functional import conv1d, conv_transpose1d

from ..objective.cosine import Enclosure, Smoothness
from .lipschitz import averaged_norm, convolution_norm, sdp_norm

# size of the residual layers' first kernels, of He's
_CONTEXT_START = 0.5


class Activation(nn.Module):
    """ReLU, or a smooth function near it whose second derivative is bounded.

    The smooth one is σ(t) = (t + √(t² + ε²) − ε)/2: σ(0) = 0, 0 < σ' < 1 and
    σ'' = ε²/(2 (t² + ε²)^{3/2}) ≤ 1/(2ε). It tends to the ReLU as ε → 0.

    Parameters
    ----------
    smoothing : float
        ε; 0 is the ReLU.
    """

    def __init__(self, smoothing):
        super().__init__()
        self.smoothing = smoothing

    @property
    def bend(self):
        """Bound of σ''. The ReLU's is 0 almost everywhere; at its kink there is none."""
        return 0.5 / self.smoothing if self.smoothing else 0.0

    def forward(self, t):
        """σ(t)."""
        if not self.smoothing:
            return t.relu()
        # √(t² + ε²) − ε without its cancellation for t ≪ ε
        return 0.5 * (t + t * (t / (self._root(t) + self.smoothing)))

    def slope(self, t):
        """σ'(t)."""
        if not self.smoothing:
            return (t > 0).to(t.dtype)
        return 0.5 * (1.0 + t / self._root(t))

    def secant(self, t, step):
        """Mean of σ' between t and t + step, without cancellation."""
        sizes = self._root(t) + self._root(t + step)
        ratio = (t + (t + step)) / torch.where(sizes > 0, sizes, 1.0)
        # at the ReLU's kink, where nothing moves, what `slope` says
        return torch.where(sizes > 0, 0.5 * (1.0 + ratio), 0.0).clamp(0.0, 1.0)

    def _root(self, t):
        """√(t² + ε²), without overflow."""
        return torch.hypot(t, t.new_full((), self.smoothing))


def _length(x):
    """Norm of each sample."""
    return x.flatten(1).norm(dim=1)


def _largest_row(weight):
    """Largest Euclidean norm of one output's kernel."""
    return float(weight.detach().double().flatten(1).norm(dim=1).max())


def _draw(n_out, n_in, length):
    """Random kernel of He's variance, which keeps the size of the signal through a ReLU."""
    kernel = torch.empty(n_out, n_in, length)
    if kernel.is_meta:  # there is nothing to draw, which takes torch a second to find out
        return kernel
    return kernel.normal_() * math.sqrt(2.0 / (n_in * length))


def unit_or(x, otherwise):
    """Divide each sample by its root mean square; another's where that is zero or not finite."""
    size = x.square().mean((1, 2), keepdim=True).sqrt()
    sound = (size > 0) & size.isfinite()
    return torch.where(sound, x / torch.where(sound, size, 1.0), otherwise)


class Autoencoder(nn.Module):
    """Φ(x) = W₃ ∗ σ(W₂ ∗ σ(W₁ ∗ x)), ∗ along time, sources as channels, no bias.

    Without bias and with the ReLU it is positively homogeneous. With ``dilations`` (which the
    paper's has not) residual layers h ← h + σ(C_j ∗ h) of growing reach stand before W₃, for more
    context in time: three taps each, that many samples apart.

    Parameters
    ----------
    n_sources : int
        Channels in and out.
    width : int
        Channels of both hidden layers.
    kernel : int
        Length of the kernels, odd; "same" zero padding.
    smoothing : float
        See :class:`Activation`.
    dilations : tuple of int
        Of the residual layers; () is the paper's network.
    """

    def __init__(self, n_sources, width=128, kernel=3, smoothing=0.0, dilations=()):
        super().__init__()
        if kernel % 2 == 0:
            raise ValueError(f"The kernel must have an odd length, got {kernel}.")
        self.activation = Activation(smoothing)
        self.padding = kernel // 2
        sizes = ((width, n_sources), (width, width), (n_sources, width))
        self.kernels = nn.ParameterList(_draw(n_out, n_in, kernel) for n_out, n_in in sizes)
        self.dilations = tuple(dilations)
        # small at first: without them Φ is the plain one
        self.context = nn.ParameterList(
            _CONTEXT_START * _draw(width, width, kernel) for _ in self.dilations
        )
        self._smoothness, self._tightened, self._norms = (None, None), (None, None), (None, {})

    def forward(self, x):
        """Apply Φ.

        Parameters
        ----------
        x : torch.Tensor of shape (n_batch, n_sources, n_times)
            Currents.

        Returns
        -------
        image : torch.Tensor of shape (n_batch, n_sources, n_times)
            Φ(x).
        *tape : torch.Tensor of shape (n_batch, width, n_times)
            What went into the activations.
        """
        encode, inner, decode = self.kernels
        first = conv1d(x, encode, padding=self.padding)
        second = conv1d(self.activation(first), inner, padding=self.padding)
        hidden, tape = self.activation(second), [first, second]
        for kernel, dilation in zip(self.context, self.dilations, strict=True):
            tape.append(conv1d(hidden, kernel, padding=dilation * self.padding, dilation=dilation))
            hidden = hidden + self.activation(tape[-1])
        return conv1d(hidden, decode, padding=self.padding), *tape

    def denoise(self, x):
        """Return Φ(x) of unit mean square; x itself where Φ(x) is zero or not finite.

        Parameters
        ----------
        x : torch.Tensor of shape (n_batch, n_sources, n_times)
            Currents, of unit mean square.

        Returns
        -------
        better : torch.Tensor of shape (n_batch, n_sources, n_times)
            If Φ was trained for that.
        """
        image, *_ = self(x)
        return unit_or(image, x)

    def select(self, index):
        """Return the regulariser of some samples: one for all."""
        return self

    def pullback(self, tape, cotangent):
        """∇Φ(x)ᵀ applied to a cotangent.

        Parameters
        ----------
        tape : tuple of torch.Tensor
            Of :meth:`forward`.
        cotangent : torch.Tensor of shape (n_batch, n_sources, n_times)
            What to pull back.

        Returns
        -------
        pulled : torch.Tensor of shape (n_batch, n_sources, n_times)
            The product.
        """
        first, second, *others = tape
        encode, inner, decode = self.kernels
        back = conv_transpose1d(cotangent, decode, padding=self.padding)
        layers = zip(others, self.context, self.dilations, strict=True)
        for seen, kernel, dilation in reversed(list(layers)):
            back = back + conv_transpose1d(
                back * self.activation.slope(seen),
                kernel,
                padding=dilation * self.padding,
                dilation=dilation,
            )
        back = conv_transpose1d(back * self.activation.slope(second), inner, padding=self.padding)
        return conv_transpose1d(back * self.activation.slope(first), encode, padding=self.padding)

    def _layers(self, tape):
        """List the layers before W₃: activation input, kernel, dilation, whether residual."""
        yield tape[0], self.kernels[0], 1, False
        yield tape[1], self.kernels[1], 1, False
        for seen, kernel, dilation in zip(tape[2:], self.context, self.dilations, strict=True):
            yield seen, kernel, dilation, True

    def pushforward(self, tape, tangent):
        """∇Φ(x) applied to a tangent.

        Parameters
        ----------
        tape : tuple of torch.Tensor
            Of :meth:`forward`.
        tangent : torch.Tensor of shape (n_batch, n_sources, n_times)
            What to push forward.

        Returns
        -------
        pushed : torch.Tensor of shape (n_batch, n_sources, n_times)
            The product.
        """
        for seen, kernel, dilation, residual in self._layers(tape):
            image = self.activation.slope(seen) * self._convolve(tangent, kernel, dilation)
            tangent = tangent + image if residual else image
        return self._convolve(tangent, self.kernels[2])

    def _convolve(self, x, kernel, dilation=1):
        return conv1d(x, kernel, padding=dilation * self.padding, dilation=dilation)

    def enclose(self, tape, tangent, shortest, longest, against=()):
        """Enclose Φ(x + td) for all t from ``shortest`` to ``longest``, layer by layer.

        What goes into an activation is u + t w, w between known bounds, and σ(u + tw) − σ(u) is tw
        times a mean slope, which (σ is convex) lies between those at the ends. So every hidden
        entry moves by t (a + z), with bounds of |z| entry by entry and of ‖z‖: convolutions widen
        the former by their absolute values, the latter by their norm, and the smaller one counts.
        Where no slope can change, z is zero. To rounding, which is not counted.

        Parameters
        ----------
        tape : tuple of torch.Tensor
            Of :meth:`forward`, at x.
        tangent : torch.Tensor of shape (n_batch, n_sources, n_times)
            d.
        shortest, longest : torch.Tensor of shape (n_batch,)
            Range of t, from 0.
        against : tuple of torch.Tensor of shape (n_batch, n_sources, n_times)
            Whose inner products with what is uncertain are to be bounded.

        Returns
        -------
        enclosure : Enclosure
            Of Φ.
        """
        shape = (-1, 1, 1)
        near, far = shortest.to(tangent).view(shape), longest.to(tangent).view(shape)
        middle, radius, size = tangent, None, tangent.new_zeros(len(tangent))
        for seen, kernel, dilation, residual in self._layers(tape):
            before = middle, radius, size
            middle = self._convolve(middle, kernel, dilation)
            if radius is None:  # of the input everything is known
                radius = torch.zeros_like(middle)
            else:
                radius = self._convolve(radius, kernel.abs(), dilation)
                size = torch.minimum(size * self._norm(kernel), _length(radius))
            low, high = middle - radius, middle + radius
            # a mean slope grows with t w
            secant = self.activation.secant
            least = torch.minimum(secant(seen, near * low), secant(seen, far * low))
            most = torch.maximum(secant(seen, near * high), secant(seen, far * high))
            mean, half = 0.5 * (least + most), 0.5 * (most - least)
            # (mean ± half)(middle ± radius) − mean · middle
            doubt = half * middle.abs()
            radius = doubt + most * radius
            size = torch.minimum(_length(doubt) + most.amax((1, 2)) * size, _length(radius))
            middle = mean * middle
            if residual:
                middle, radius, size = middle + before[0], radius + before[1], size + before[2]
        decode = self.kernels[2]
        inner = []
        for vector in against:
            pulled = conv_transpose1d(vector, decode, padding=self.padding)
            by_entry = (pulled.abs() * radius).sum((1, 2))
            inner.append(torch.minimum(by_entry, _length(pulled) * size))
        along = self._convolve(middle, decode)
        return Enclosure(along, size * self._norm(decode), tuple(inner))

    def tighten(self, n_iterations=60):
        """Make ρ tighter, with seconds of work: by semidefinite programming.

        The bound is kept as long as the weights are.

        Parameters
        ----------
        n_iterations : int
            See :func:`mne_mmnet.network.lipschitz.sdp_norm`.

        Returns
        -------
        slope : float
            ρ, which :meth:`smoothness` answers from now on.
        """
        encode, inner, decode = self.kernels
        if self.dilations:  # the residual layers stand in between
            slope = sdp_norm(self._through(), inner, encode, n_iterations) * self._after()
        else:
            slope = sdp_norm(decode, inner, encode, n_iterations)
        self._tightened = (self._key(), slope)
        self._smoothness = (None, None)
        return self.smoothness().slope

    def _through(self):
        """Kernel of the identity, of one tap."""
        return torch.eye(len(self.kernels[1]), device=self.kernels[1].device)[:, :, None]

    def _after(self):
        """Bound of what the residual layers and W₃ stretch."""
        stretch = convolution_norm(self.kernels[2])
        for kernel in self.context:
            stretch *= 1.0 + convolution_norm(kernel)
        return stretch

    def _norm(self, kernel):
        """Norm of one of the kernels, kept as long as no weight changes."""
        key = self._key()
        if key is None:
            return convolution_norm(kernel)
        if self._norms[0] != key:
            self._norms = (key, {})
        known = self._norms[1]
        if kernel.data_ptr() not in known:
            known[kernel.data_ptr()] = convolution_norm(kernel)
        return known[kernel.data_ptr()]

    def _key(self):
        """Tell whether weights have changed; None if that cannot be told."""
        everything = [*self.kernels, *self.context]
        if any(kernel.is_inference() for kernel in everything):  # these have no version
            return None
        return tuple((kernel.data_ptr(), kernel._version) for kernel in everything)

    def smoothness(self):
        """Bounds of the derivatives, computed from the layers.

        With J₂ = W₂ D₁ W₁ the Jacobian up to the second activation, 0 ≤ σ' ≤ 1 and σ'' ≤ b,

            ρ ≤ ‖W₃‖ ‖W₂‖ ‖W₁‖ (:func:`mne_mmnet.network.lipschitz.averaged_norm`),
            ∇²Φ_i = J₂ᵀ diag(σ'' ∘ w_i) J₂ + W₁ᵀ diag(σ'' ∘ W₂ᵀ(σ' ∘ w_i)) W₁,
            α = b max_i [ ‖w_i‖_∞ ‖W₂‖² ‖W₁‖² + ‖|W₂|ᵀ|w_i|‖_∞ ‖W₁‖² ],
            a = b ‖W₃‖ ‖W₁‖² ‖W₂‖ ( r(W₂) + r(W₁)/‖W₁‖ ),

        w_i the i-th row of W₃ and r the largest Euclidean norm of a row, the latter from
        ‖v ∘ v‖₂ ≤ ‖v‖_∞ ‖v‖₂. With dilations the layers are composed one after the other: where
        f has the bounds ρ_f, a_f and g has ρ_g, a_g, f ∘ g has ρ_f ρ_g and a_f ρ_g² + ρ_f a_g. A
        residual layer has 1 + ‖C‖ and b r(C) ‖C‖, whatever its dilation (the spectrum is run
        through several times), and α ≤ a.

        Returns
        -------
        smoothness : Smoothness
            ρ, α, a.
        """
        key = self._key()  # weights seldom change between calls
        if key is not None and self._smoothness[0] == key:
            return self._smoothness[1]
        one, two, three = (convolution_norm(kernel) for kernel in self.kernels)
        encode, inner, decode = (kernel.detach().double() for kernel in self.kernels)
        # |W₂|ᵀ|w_i|: the kernels composed, one output i of W₃ at a time (as a batch)
        composed = conv_transpose1d(
            decode.abs().flip(2), inner.abs().flip(2)
        )  # (n_sources, width, 2 kernel − 1)
        bend = self.activation.bend
        per_output = decode.abs().amax((1, 2)) * (two * one) ** 2 + composed.amax((1, 2)) * one**2
        joint = three * two * one * (_largest_row(inner) * one + _largest_row(encode))
        found = Smoothness(
            averaged_norm(decode, inner, encode), bend * float(per_output.max()), bend * joint
        )
        if self.dilations:
            slope, joint = one, bend * _largest_row(encode) * one
            for kernel, norm, straight in (
                (inner, two, 0.0),
                *((kernel, convolution_norm(kernel), 1.0) for kernel in self.context),
            ):
                own = bend * _largest_row(kernel) * norm
                joint = own * slope**2 + (straight + norm) * joint
                slope = (straight + norm) * slope
            found = Smoothness(
                self._after() * averaged_norm(self._through(), inner, encode),
                three * joint,
                three * joint,
            )
        if key is not None and self._tightened[0] == key:
            found = found._replace(slope=min(found.slope, self._tightened[1]))
        self._smoothness = (key, found)
        return found
