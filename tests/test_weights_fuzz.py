"""The loader against 10,000 damaged models: one clear error, or the content, and little memory."""

import contextlib
import hashlib
import json
import os
import resource
import time
from collections import Counter

import numpy as np
import pytest

from core_cases import random_network
from corruptions import damage, decode
from mne_mmnet.dictionary.patches import PatchScale
from mne_mmnet.network import NetworkConfig
from mne_mmnet.weights import read_model, save_model

N_CASES = int(os.environ.get("MNE_MMNET_FUZZ_CASES", 10_000))
TINY = NetworkConfig(
    scales=(PatchScale("point"), PatchScale("flat", 8.0)),
    tangential=(0,),
    **dict(hidden=2, blocks=1, read=2, state=2, context=1, confidence=2),
)
DOMAIN = {"n_channels": [16, 64], "snr_db": [0.0, 10.0], "ch_types": ["eeg"]}
# more than a reader may take, less than any file that asks for gigabytes would make it take
SPARE = 128 << 20


@contextlib.contextmanager
def little_memory():
    """Let the process grow by no more than ``SPARE``: what asks for more gets a MemoryError."""
    with open("/proc/self/statm") as file:
        size = int(file.read().split()[0]) * resource.getpagesize()
    before = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (size + SPARE, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, before)


def try_one(path, weights, card):
    """Read a damaged model; return what became of it, after checking what must not happen."""
    path.with_suffix(".safetensors").write_bytes(weights)
    path.with_suffix(".json").write_bytes(card)
    try:
        network, found = read_model(path)
    except (ValueError, FileNotFoundError) as error:
        text = str(error)
        assert str(path) in text or found_name(card) in text
        return next(word for word in STAGES if word in text)
    # it was loaded: then the checksum is right, and the network holds what the file says
    assert hashlib.sha256(weights).hexdigest() == found.sha256 == json.loads(card)["sha256"]
    expected, state = decode(weights), network.state_dict()
    assert expected.keys() == state.keys()
    for name, tensor in state.items():
        np.testing.assert_array_equal(tensor.numpy(), expected[name])
        assert np.isfinite(expected[name]).all()
    return "loaded"


def found_name(card):
    try:
        return repr(json.loads(card)["name"])
    except (ValueError, KeyError, TypeError, RecursionError):
        return "no name"


# what the errors say, in the order of the checks
STAGES = (
    "no JSON model card",
    "Update mne_mmnet",
    "Train the model again",
    "exactly the keys",
    "no card of a model",
    "is damaged: its sha256",
    "describes no network",
    "an impossible header",
    "lacking",
    "is not described",
    "is not of type",
    "has not the shape",
    "has no place",
    "overlap or leave gaps",
    "bytes of tensors instead of",
    "not finite",
    "does not hold the network",
)


@pytest.mark.skipif(not os.path.exists("/proc/self/statm"), reason="needs /proc")
def test_damaged_models(tmp_path, rng):
    """No crash, no hang, no gigabytes, and never other weights than a checksum vouches for."""
    path = tmp_path / "model"
    save_model(random_network(0, 0.1, TINY), path, domain=DOMAIN, provenance={"seed": 0})
    weights = path.with_suffix(".safetensors").read_bytes()
    card = path.with_suffix(".json").read_bytes()
    assert try_one(path, weights, card) == "loaded"
    outcomes, slowest = Counter(), 0.0
    with little_memory():
        for k in range(N_CASES):
            bad_weights, bad_card, how = damage(rng, weights, card)
            started = time.process_time()
            try:
                outcome = try_one(path, bad_weights, bad_card)
            except Exception as error:
                raise AssertionError(f"case {k} ({how}): {error!r}") from error
            slowest = max(slowest, time.process_time() - started)
            if bad_weights != weights and "sealed" not in how:
                assert outcome != "loaded", f"case {k} ({how})"
            outcomes[outcome] += 1
    print(f"{N_CASES} cases, slowest {1e3 * slowest:.0f} ms")  # noqa: T201 (shown with -s)
    print(*outcomes.most_common(), sep="\n")  # noqa: T201
    assert slowest < 2.0
    assert sum(outcomes.values()) == N_CASES
    # every check is reached, the last ones too
    assert not [stage for stage in STAGES if N_CASES >= 5000 and not outcomes[stage]]
