"""Weights on disk: one safetensors file and one JSON model card beside it; never a pickle.

A model named ``x`` is the pair ``x.safetensors`` and ``x.json``. The card says what the weights do
not: the network's configuration, the domain it was trained on, how, and the sha256 of the weights.
"""

import copy
import hashlib
import json
import os
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any, NamedTuple

from ._files import whole_file

FORMAT = 2
_KEYS = ("format", "name", "kind", "sha256", "network", "domain", "provenance")
# a header larger than this is no model of ours
_MAX_HEADER = 1 << 20
_MAX_BYTES = 64 << 20


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
    folder = resources.files("mne_mmnet.pretrained")
    return sorted(
        item.name.removesuffix(".json") for item in folder.iterdir() if item.name.endswith(".json")
    )


def _locate(model):
    """Path of the card of a model given by name or path."""
    path = Path(os.fspath(model) or "(no name)")
    if path.suffix in (".safetensors", ".json"):
        path = path.with_suffix("")
    if path.name == os.fspath(model):  # a bare name: one of ours first
        card = resources.files("mne_mmnet.pretrained") / f"{path.name}.json"
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
        If the card is damaged or of a newer format.
    """
    path = _locate(model)
    try:
        plain = json.loads(path.read_text(encoding="utf-8"))
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        raise ValueError(f"{path} is no JSON model card ({error}). Get the file again.") from None
    if not isinstance(plain, dict) or set(plain) != set(_KEYS):
        raise ValueError(f"{path} must have exactly the keys {list(_KEYS)}. Get the file again.")
    if plain["format"] != FORMAT:
        raise ValueError(
            f"{path} has format {plain['format']}, this version of mne_mmnet reads {FORMAT}. "
            "Update mne_mmnet."
        )
    return ModelCard(**plain)


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
        If card or weights are damaged, do not belong together, or are not finite.
    """
    import torch
    from safetensors import SafetensorError
    from safetensors.torch import load

    if isinstance(model, Model):
        network = copy.deepcopy(model.network).to(device).eval().requires_grad_(False)
        return Model(network, model.card)
    card = read_card(model)
    path = _locate(model).with_suffix(".safetensors")
    if not path.is_file():
        raise FileNotFoundError(f"The card of {card.name!r} is there, but {path} is not.")
    remedy = "Get the file again, or reinstall mne_mmnet."
    if path.stat().st_size > _MAX_BYTES:
        raise ValueError(f"{path} is too large for a model of mne_mmnet. {remedy}")
    blob = path.read_bytes()
    if hashlib.sha256(blob).hexdigest() != card.sha256:
        raise ValueError(f"{path} is damaged: its sha256 is not the card's. {remedy}")
    if len(blob) < 8 or int.from_bytes(blob[:8], "little") > _MAX_HEADER:
        raise ValueError(f"{path} has an impossible header. {remedy}")
    try:
        network_class, config_class = _network_kinds()[card.kind]
        network = network_class(config_class.from_dict(card.network))
    except (TypeError, ValueError, KeyError) as error:
        raise ValueError(f"The card of {card.name!r} describes no network: {error}") from None
    try:
        tensors = load(blob)
        network.load_state_dict(tensors)
    except (SafetensorError, RuntimeError) as error:
        raise ValueError(f"{path} does not hold the network of its card: {error}") from None
    broken = [name for name, tensor in tensors.items() if not torch.isfinite(tensor).all()]
    if broken:
        raise ValueError(f"{path} holds values that are not finite, in {broken}. {remedy}")
    return Model(network.to(device).eval().requires_grad_(False), card)


def save_model(model, path, *, domain=None, provenance=None, half=False):
    """Write a model as ``<path>.safetensors`` and ``<path>.json``, each atomically.

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
    for suffix, content in ((".safetensors", blob), (".json", text.encode())):
        with whole_file(path.with_name(path.name + suffix)) as scratch:
            scratch.write_bytes(content)
    return card
