"""Damage to model files: what bad disks, bad transfers and bad people do to them."""

import copy
import hashlib
import json

import numpy as np

# values that have surprised readers of JSON before
ODD = (
    *(None, True, -1, 0, 1, 2, 3, 65, 4097, 10**6, 10**12, 2**63, 10**40, -(10**40)),
    *(
        0.5,
        1e-300,
        1e308,
        float("nan"),
        float("inf"),
        "",
        "x",
        "__metadata__",
        "\x1b[31m",
        "ß" * 300,
    ),
    *([], {}, [[]], [1, 2], [2, 1], [0, 2**63], [[["point", 0.0]]], {"a": {"b": []}}),
    *("F16", "F32", "F64", "I64", "evidence", "cosine", "../../etc/passwd", "import os"),
)


def split(blob):
    """Header as an object, and the data."""
    length = int.from_bytes(blob[:8], "little")
    return json.loads(blob[8 : 8 + length]), blob[8 + length :]


def join(header, data):
    """Inverse of split; a header that is bytes is taken as it is."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + data


def decode(blob):
    """Tensors of a file, by a reader that has nothing in common with the library's."""
    header, data = split(blob)
    types = {"F16": "<f2", "F32": "<f4"}
    found = {}
    for name, claim in header.items():
        start, stop = claim["data_offsets"]
        values = np.frombuffer(data[start:stop], types[claim["dtype"]])
        found[name] = values.reshape(claim["shape"]).astype(np.float32)
    return found


# Bytes ------------------------------------------------------------------------------------------


def flip_bits(rng, blob):
    blob = bytearray(blob)
    # half of the time near the beginning, where the header is
    end = len(blob) if rng.random() < 0.5 else min(len(blob), 600)
    for place in rng.integers(end, size=rng.integers(1, 9)):
        blob[place] ^= 1 << rng.integers(8)
    return bytes(blob)


def truncate(rng, blob):
    return blob[: rng.integers(len(blob))]


def insert(rng, blob):
    place = rng.integers(len(blob) + 1)
    return blob[:place] + rng.bytes(rng.integers(1, 100)) + blob[place:]


def delete(rng, blob):
    place = rng.integers(len(blob))
    return blob[:place] + blob[place + rng.integers(1, 100) :]


def overwrite(rng, blob):
    place, part = rng.integers(len(blob)), rng.integers(len(blob))
    return blob[:place] + blob[part : part + 64] + blob[place + 64 :]


# JSON -------------------------------------------------------------------------------------------


def mutate(rng, tree):
    """Change one to three places of a JSON tree."""
    tree = copy.deepcopy(tree)
    for _ in range(rng.integers(1, 4)):
        inner = [node for node in _nodes(tree) if node]
        if not inner:
            break
        node = inner[rng.integers(len(inner))]
        key = list(node)[rng.integers(len(node))] if isinstance(node, dict) else None
        key = rng.integers(len(node)) if key is None else key
        odd = ODD[rng.integers(len(ODD))]
        what = rng.integers(5)
        if what == 0:
            del node[key]
        elif what == 1 and isinstance(node, dict):
            node[str(odd)] = node.pop(key)
        elif what == 2 and isinstance(node[key], int | float):
            node[key] = [node[key] * 2, node[key] + 1, -node[key], float(node[key])][
                rng.integers(4)
            ]
        else:
            node[key] = copy.deepcopy(odd)
    return tree


def _nodes(tree):
    if isinstance(tree, dict | list):
        yield tree
        for child in tree.values() if isinstance(tree, dict) else tree:
            yield from _nodes(child)


def tangle(rng, text):
    """JSON that parsers stumble over."""
    depth = int(rng.integers(100, 50_000))
    return [
        b"[" * depth,
        b'{"a":' * depth + b"1" + b"}" * depth,
        text.replace(b"{", b'{"format": 2,', 1),
        text.replace(b"{", b'{"sha256": "0",', 1),
        text.replace(b"1", b"1" * 5000, 1),
        b"\xff\xfe" + text,
        text.decode().encode("utf-16"),
        b"\xef\xbb\xbf" + text,
        text + text,
        b"",
    ][rng.integers(10)]


# Weights ----------------------------------------------------------------------------------------


def lie_about_length(rng, blob):
    length = int.from_bytes(blob[:8], "little")
    lies = [0, 1, length - 1, length + 1, len(blob), 1 << 20, 1 << 31, 1 << 40, (1 << 64) - 1]
    lies.append(int(rng.integers(1 << 16)))
    return lies[rng.integers(len(lies))].to_bytes(8, "little") + blob[8:]


def mutate_header(rng, blob):
    header, data = split(blob)
    return join(mutate(rng, header), data)


def tangle_header(rng, blob):
    header, data = split(blob)
    return join(tangle(rng, json.dumps(header).encode()), data)


def swap_tensors(rng, blob):
    """Exchange all, or a part, of what two tensors claim."""
    header, data = split(blob)
    one, two = (list(header)[k] for k in rng.choice(len(header), 2, replace=False))
    for key in [["data_offsets"], ["shape"], ["dtype", "shape", "data_offsets"]][rng.integers(3)]:
        header[one][key], header[two][key] = header[two][key], header[one][key]
    return join(header, data)


def spoil_values(rng, blob):
    """Write numbers that are none, or others."""
    header, data = split(blob)
    values = np.frombuffer(data, "<f4").copy()
    odd = [np.nan, np.inf, -np.inf, 3e38, 0.25]
    values[rng.integers(len(values))] = odd[rng.integers(len(odd))]
    return join(header, values.tobytes())


def retype(rng, blob):
    """Numbers of another type, laid out correctly: all of a file, or one tensor of it."""
    header, data = split(blob)
    name, kind = [("F64", "<f8"), ("I32", "<i4"), ("F16", "<f2"), ("I64", "<i8")][rng.integers(4)]
    chosen = set(header) if rng.random() < 0.5 else {list(header)[rng.integers(len(header))]}
    parts, place = [], 0
    for key, claim in header.items():
        part = data[slice(*claim["data_offsets"])]
        if key in chosen:
            part = np.frombuffer(part, "<f4").astype(kind).tobytes()
            claim["dtype"] = name
        claim["data_offsets"] = [place, place + len(part)]
        place += len(part)
        parts.append(part)
    return join(header, b"".join(parts))


def reshape_in_floats(rng, blob):
    """Sizes that equal the right ones, and are none."""
    header, data = split(blob)
    for claim in header.values():
        claim["shape"] = [[float, int][rng.integers(2)](n) for n in claim["shape"]]
    return join(header, data)


# Cases ------------------------------------------------------------------------------------------

BYTES = (flip_bits, truncate, insert, delete, overwrite)
WEIGHTS = (
    *BYTES,
    *(lie_about_length, mutate_header, mutate_header, tangle_header),
    *(swap_tensors, spoil_values, retype, reshape_in_floats),
)


def mutate_card(rng, text):
    card = json.loads(text)
    if rng.random() < 0.5:  # what decides how much is allocated
        card["network"] = mutate(rng, card["network"])
        return json.dumps(card).encode()
    return json.dumps(mutate(rng, card)).encode()


def come_from_the_future(rng, text):
    card = json.loads(text)
    card["format"] += int(rng.integers(1, 5))
    card["licence"] = "MIT"
    return json.dumps(card).encode()


CARD = (*BYTES, *5 * [mutate_card], come_from_the_future, tangle)


def damage(rng, weights, card):
    """Damage weights or card, or both (bytes of whole files), and say what was done.

    ``"sealed"``: afterwards the card got the checksum of the weights, so that later checks are
    reached.
    """
    which, how = rng.integers(4), []
    if which != 0:
        function = WEIGHTS[rng.integers(len(WEIGHTS))]
        weights = function(rng, weights)
        how.append(function.__name__)
    if which == 0 or which == 1:
        function = CARD[rng.integers(len(CARD))]
        card = function(rng, card)
        how.append(f"card {function.__name__}")
    if rng.random() < 0.8:
        try:
            plain = json.loads(card)
            plain["sha256"] = hashlib.sha256(weights).hexdigest()
            card = json.dumps(plain).encode()
            how.append("sealed")
        except (ValueError, TypeError, RecursionError):
            pass
    return weights, card, ", ".join(how)
