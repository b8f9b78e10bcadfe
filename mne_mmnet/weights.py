"""Weights on disk: one safetensors file and one JSON model card beside it; never a pickle.

A model named ``x`` is the pair ``x.safetensors`` and ``x.json``. The card says what the weights do
not: the network's configuration, the domain it was trained on, how, and the sha256 of the weights.
"""

import copy
import functools
import hashlib
import json
import math
import os
import re
from dataclasses import dataclass, fields
from importlib import resources
from pathlib import Path
from typing import Any, NamedTuple

from ._support.files import whole_file
from ._support.untrusted import check_header, parse_object, read_bytes

FORMAT = 3
_KEYS = dict(
    format=int, name=str, kind=str, sha256=str, network=dict, domain=dict, provenance=dict
)
_MAX_CARD, _MAX_BYTES = 1 << 20, 256 << 20
# sizes and numbers of a configuration beyond which a network could not be used
_MOST, _MOST_SOURCES, _MOST_SCALES = 4096, 100_000, 64
_REMEDY = "Get the file again, or reinstall mne_mmnet."


@dataclass(frozen=True)
class ModelCard:
    """What is known about a set of weights.

    Parameters
    ----------
    name : str
        Name of the model.
    kind : str
        Route that the network belongs to: "evidence" or "cosine".
    sha256 : str
        Digest of the safetensors file; empty for a model that was not saved.
    network : dict
        Configuration of the network.
    domain : dict
        Training domain: ranges of what the simulations covered.
    provenance : dict
        Command, seed, versions, duration and validation results of the training.
    format : int
        Version of the file layout.
    """

    name: str
    kind: str
    sha256: str
    network: dict
    domain: dict
    provenance: dict
    format: int = FORMAT


class Model(NamedTuple):
    """A network and what is known about it; can be given as ``model=``.

    Parameters
    ----------
    network : mne_mmnet.network.EvidenceNetwork | mne_mmnet.network.CosineNetwork
        In evaluation mode, not trainable.
    card : ModelCard
        The card.
    """

    network: Any
    card: ModelCard

    def __repr__(self):
        return f"<Model | {self.card.name}, {self.card.kind}>"


def list_models():
    """List the models that come with the package.

    Returns
    -------
    names : list of str
        Sorted; each can be given as ``model=``.
    """
    return sorted(
        item.name.removesuffix(".json")
        for item in _shipped().iterdir()
        if item.name.endswith(".json")
    )


def _shipped():
    """Folder of the models that come with the package."""
    try:
        return resources.files("mne_mmnet.pretrained")
    except ModuleNotFoundError:
        # in a clone that was not installed, it lies beside the package
        beside = Path(__file__).parents[1] / "pretrained"
        if (beside / "__init__.py").is_file():
            return beside
        raise FileNotFoundError(
            "The pretrained models are not where they should be. Install the package: "
            "pip install . in its folder, or pip install mne_mmnet."
        ) from None


def _locate(model):
    """Path of the card of a model given by name or path."""
    path = Path(os.fspath(model) or "(no name)")
    if path.suffix in (".safetensors", ".json"):
        path = path.with_suffix("")
    if path.name == os.fspath(model):  # a bare name: one of ours first
        card = _shipped() / f"{path.name}.json"
        if card.is_file():
            return Path(str(card))
    card = path.with_name(path.name + ".json")
    if not card.is_file():
        raise FileNotFoundError(
            f"There is no model {os.fspath(model)!r}. Give one of {list_models()} or the path of "
            "a .safetensors file with its .json card beside it."
        )
    return card


def read_card(model):
    """Read a model card.

    Parameters
    ----------
    model : str | path-like
        Name of a shipped model, or path of a saved one.

    Returns
    -------
    card : ModelCard
        The card.

    Raises
    ------
    FileNotFoundError
        If there is no such model.
    ValueError
        If the card is damaged, too large or of another format.
    """
    path = _locate(model)
    try:
        plain = parse_object(read_bytes(path, _MAX_CARD, _REMEDY))
    except ValueError as error:
        raise ValueError(f"{path} is no JSON model card ({error}). {_REMEDY}") from None
    found = plain.get("format")
    if type(found) is int and found > FORMAT:  # its keys may be others
        raise ValueError(
            f"{path} has format {found}, this version of mne_mmnet reads {FORMAT}. Update "
            "mne_mmnet."
        )
    if type(found) is int and found < FORMAT:
        raise ValueError(
            f"{path} has format {found}: an earlier mne_mmnet made it, with other networks; this "
            f"version reads {FORMAT}. Train the model again, or use one that "
            "mne_mmnet.list_models() names."
        )
    if plain.keys() != _KEYS.keys():
        raise ValueError(f"{path} must have exactly the keys {list(_KEYS)}. {_REMEDY}")
    try:
        _check_card(plain)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{path} is no card of a model: {error}. {_REMEDY}") from None
    return ModelCard(**plain)


def _check_card(plain):
    """Check what a card says of itself and of the domain, which the rest relies on."""
    for key, kind in _KEYS.items():
        if type(plain[key]) is not kind:
            raise ValueError(f"{key} must be of type {kind.__name__}")
    if not (plain["name"].isprintable() and 0 < len(plain["name"]) <= 255):
        raise ValueError("name must be that of a file")
    if not re.fullmatch("[0-9a-f]{64}", plain["sha256"]):
        raise ValueError("sha256 must be 64 hexadecimal digits")
    domain = plain["domain"]
    for key in ("n_channels", "snr_db"):
        low, high = domain.get(key, (1, 1))
        if not (_is_number(low) and _is_number(high) and low <= high):
            raise ValueError(f"domain: {key} must be a range")
    if not min(domain.get("n_channels", (1,))) > 0:
        raise ValueError("domain: n_channels must be > 0")
    types = domain.get("ch_types", [])
    if type(types) is not list or not all(type(kind) is str for kind in types):
        raise ValueError("domain: ch_types must be a list of names")
    if type(domain.get("source_space", {})) is not dict:
        raise ValueError("domain: source_space must be a description")


def _is_number(value, most=math.inf):
    """Whether a value is a number that is finite and no larger than others."""
    return type(value) in (int, float) and -most <= value <= most and math.isfinite(value)


def _read_config(config_class, plain):
    """Read the configuration of a network that would not take gigabytes, or hours."""
    config = config_class.from_dict(plain)
    scales = getattr(config, "scales", ())
    if len(scales) > _MOST_SCALES or not all(_is_number(scale.extent, _MOST) for scale in scales):
        raise ValueError("impossible scales")
    for field in fields(config):
        value, kind = getattr(config, field.name), type(field.default)
        most = _MOST_SOURCES if field.name == "n_sources" else _MOST
        if kind is int and type(value) is not int:
            raise ValueError(f"{field.name} must be a whole number")
        if kind in (int, float) and not _is_number(value, most):
            raise ValueError(f"{field.name} must be a number up to {most}")
    return config


@functools.lru_cache(maxsize=8)
def _list_shapes(network_class, config):
    """Name and shape of each tensor of a network, of which nothing is allocated."""
    import torch

    with torch.device("meta"):
        network = network_class(config)
    return {name: tuple(tensor.shape) for name, tensor in network.state_dict().items()}


def _network_kinds():
    """Network and configuration of each kind of model; needs torch, hence a function."""
    from .network import CosineConfig, CosineNetwork, EvidenceNetwork, NetworkConfig

    return {
        "evidence": (EvidenceNetwork, NetworkConfig),
        "cosine": (CosineNetwork, CosineConfig),
    }


def read_model(model="mmnet-base", device="cpu"):
    """Read a network and its card.

    Parameters
    ----------
    model : str | path-like | Model
        Name of a shipped model (see :func:`list_models`), path of a saved one, or a model, of
        which a copy is made.
    device : str | torch.device
        Where to put it.

    Returns
    -------
    model : Model
        Network and card.

    Raises
    ------
    FileNotFoundError
        If there is no such model.
    ValueError
        If card or weights are damaged, too large, of another format, do not belong together, or
        are not finite.

    Notes
    -----
    Files may come from anyone. Their sizes are limited, the checksum and everything that the card
    and the header of the weights say is checked before memory is taken for it, nothing in them is
    executed, and nothing is fetched from the network.
    """
    import torch
    from safetensors import SafetensorError
    from safetensors.torch import load

    if isinstance(model, Model):
        # what is made in inference mode cannot be trained outside of it
        with torch.inference_mode(False):
            network = copy.deepcopy(model.network).to(device).eval().requires_grad_(False)
        return Model(network, model.card)
    card = read_card(model)
    path = _locate(model).with_suffix(".safetensors")
    if not path.is_file():
        raise FileNotFoundError(f"The card of {card.name!r} is there, but {path} is not.")
    blob = read_bytes(path, _MAX_BYTES, _REMEDY)
    if hashlib.sha256(blob).hexdigest() != card.sha256:
        raise ValueError(f"{path} is damaged: its sha256 is not the card's. {_REMEDY}")
    try:
        network_class, config_class = _network_kinds()[card.kind]
        config = _read_config(config_class, card.network)
        shapes = _list_shapes(network_class, config)
    except (ArithmeticError, TypeError, ValueError, LookupError, RuntimeError) as error:
        raise ValueError(f"The card of {card.name!r} describes no network: {error}") from None
    try:
        check_header(blob, shapes)
        tensors = load(blob)
    except (SafetensorError, ValueError) as error:
        raise ValueError(f"{path} does not hold the network of its card: {error}") from None
    broken = [name for name, tensor in tensors.items() if not torch.isfinite(tensor).all()]
    if broken:
        raise ValueError(f"{path} holds values that are not finite, in {broken}. {_REMEDY}")
    with torch.inference_mode(False):
        network = network_class(config)
        network.load_state_dict(tensors)
        return Model(network.to(device).eval().requires_grad_(False), card)


def save_model(model, path, *, domain=None, provenance=None, half=False):
    """Write a model as ``<path>.safetensors`` and ``<path>.json``, both or none.

    Parameters
    ----------
    model : Model | mne_mmnet.network.EvidenceNetwork | mne_mmnet.network.CosineNetwork
        The model, or a network alone.
    path : path-like
        With or without the suffix ``.safetensors``. Its last part is the model's name.
    domain, provenance : dict | None
        For the card, see :class:`ModelCard`. None takes those of the model.
    half : bool
        Whether to write the weights in half precision, which halves the file. They are computed
        with in single precision all the same.

    Returns
    -------
    card : ModelCard
        What was written.

    Raises
    ------
    TypeError
        If a network is given without domain and provenance.
    ValueError
        If the model is too large to be read again.
    OSError
        If it cannot be written; an earlier one of that name is left as it was.
    """
    import torch
    from safetensors.torch import save

    if isinstance(model, Model):
        network = model.network
        domain = model.card.domain if domain is None else domain
        provenance = model.card.provenance if provenance is None else provenance
    elif domain is None or provenance is None:
        raise TypeError("A network alone has no card: give domain and provenance, or a Model.")
    else:
        network = model
    path = Path(path)
    path = path.with_suffix("") if path.suffix == ".safetensors" else path
    dtype = torch.float16 if half else torch.float32
    tensors = {
        name: tensor.detach().to("cpu", dtype).contiguous()
        for name, tensor in network.state_dict().items()
    }
    kinds = {network_class: kind for kind, (network_class, _) in _network_kinds().items()}
    blob = save(tensors)
    if len(blob) > _MAX_BYTES:
        raise ValueError(
            f"{len(blob)} bytes of weights could not be read again, {_MAX_BYTES} are the most. "
            "Write them with half=True."
        )
    card = ModelCard(
        name=path.name,
        kind=kinds[type(network)],
        sha256=hashlib.sha256(blob).hexdigest(),
        network=network.config.to_dict(),
        domain=domain,
        provenance=provenance,
    )
    plain = {key: getattr(card, key) for key in _KEYS}
    text = json.dumps(plain, indent=2, ensure_ascii=False) + "\n"
    # both are on the disk before either has its name: new weights and an old card are no model
    with (
        whole_file(path.with_name(path.name + ".json")) as card_file,
        whole_file(path.with_name(path.name + ".safetensors")) as weights_file,
    ):
        weights_file.write_bytes(blob)
        card_file.write_text(text, encoding="utf-8", newline="\n")
    return card
