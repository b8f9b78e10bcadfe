"""The regulariser Φ_θ of the cosine objective: a convolutional autoencoder over time."""

import math

import torch
from torch import nn
from torch.nn.functional import conv1d, conv_transpose1d

from ..objective.cosine import Smoothness

# frequencies at which the norm of a convolution is computed
_N_FREQUENCIES = 64
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

    def _root(self, t):
        """√(t² + ε²), without overflow."""
        return torch.hypot(t, t.new_full((), self.smoothing))


def convolution_norm(weight):
    """Upper bound of the spectral norm of a zero-padded convolution over time.

    Zero padding compresses the convolution on the whole line, whose norm is the largest
    ‖Ŵ(ω)‖₂, Ŵ(ω) = Σ_τ W_τ e^{−iωτ}. For every u, ‖Ŵ(ω)u‖² is a trigonometric polynomial of
    degree m = kernel − 1, which between N equally spaced frequencies exceeds its largest sample by
    a factor of no more than 1/cos(πm/N) (Ehlich & Zeller 1964, doi 10.1007/BF01111276).

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
    weight = weight.detach().double()
    if not bool(torch.isfinite(weight).all()):
        raise ValueError("The regulariser's weights are not finite; load or train others.")
    if weight.shape[0] > weight.shape[1]:
        weight = weight.transpose(0, 1)
    kernel = weight.shape[2]
    n_frequencies = max(_N_FREQUENCIES, 16 * kernel)
    # a real kernel: frequencies ω and −ω have the same norm
    spectrum = torch.fft.rfft(weight, n_frequencies, dim=2).permute(2, 0, 1)
    largest = torch.linalg.eigvalsh(spectrum @ spectrum.mH)[:, -1].max()
    return math.sqrt(float(largest) / math.cos(math.pi * (kernel - 1) / n_frequencies))


def _largest_row(weight):
    """Largest Euclidean norm of one output's kernel."""
    return float(weight.detach().double().flatten(1).norm(dim=1).max())


def _draw(n_out, n_in, length):
    """Random kernel of He's variance, which keeps the size of the signal through a ReLU."""
    kernel = torch.empty(n_out, n_in, length)
    if kernel.is_meta:  # there is nothing to draw, which takes torch a second to find out
        return kernel
    return kernel.normal_() * math.sqrt(2.0 / (n_in * length))


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
        self._smoothness = (None, None)

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

    def smoothness(self):
        """Bounds of the derivatives, computed from the layers.

        With J₂ = W₂ D₁ W₁ the Jacobian up to the second activation, 0 ≤ σ' ≤ 1 and σ'' ≤ b,

            ρ = ‖W₃‖ ‖W₂‖ ‖W₁‖,
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
        # weights seldom change between calls; those made in inference mode have no version
        everything = [*self.kernels, *self.context]
        versioned = not any(kernel.is_inference() for kernel in everything)
        key = versioned and tuple((kernel.data_ptr(), kernel._version) for kernel in everything)
        if key and self._smoothness[0] == key:
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
        found = Smoothness(three * two * one, bend * float(per_output.max()), bend * joint)
        if self.dilations:
            slope, joint = one, bend * _largest_row(encode) * one
            for kernel, norm, straight in (
                (inner, two, 0.0),
                *((kernel, convolution_norm(kernel), 1.0) for kernel in self.context),
            ):
                own = bend * _largest_row(kernel) * norm
                joint = own * slope**2 + (straight + norm) * joint
                slope = (straight + norm) * slope
            found = Smoothness(three * slope, three * joint, three * joint)
        self._smoothness = (key, found)
        return found
