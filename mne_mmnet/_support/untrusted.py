"""Bytes that may come from anyone: read up to a limit, parsed strictly, compared before use."""

import json
import math
import os

# a header larger than this is no model of ours, and parsing it takes a few MB
_MAX_HEADER = 1 << 18
# bytes a number of the types that weights may have
_ITEM = {"F16": 2, "F32": 4}
# names in a message
_NAMED = 3


def read_bytes(path, limit, remedy):
    """Read a file, but no more than a limit; ``remedy`` says what to do if there is more."""
    with open(path, "rb") as file:
        size = os.fstat(file.fileno()).st_size
        if size > limit:
            raise ValueError(f"{path} is too large, more than {limit} bytes. {remedy}")
        return file.read(size)  # no more than there was when it was looked at


def parse_object(blob):
    """Parse a JSON object, and nothing but one.

    What is no JSON, not UTF-8, nested too deeply, or says something twice is a ValueError.
    """
    try:
        found = json.loads(blob.decode("utf-8"), object_pairs_hook=_without_doubles)
    except RecursionError:
        raise ValueError("nested too deeply") from None
    if not isinstance(found, dict):
        raise ValueError("not an object")
    return found


def _without_doubles(pairs):
    found = dict(pairs)
    if len(found) < len(pairs):  # parsers differ in which of two they believe
        raise ValueError("a key is there twice")
    return found


def check_header(blob, shapes):
    """Compare what a safetensors file claims to hold with what it must hold.

    Nothing is allocated for the tensors: a claim of gigabytes costs nothing.

    Parameters
    ----------
    blob : bytes
        The file.
    shapes : dict of str to tuple of int
        Name and shape of every tensor.

    Raises
    ------
    ValueError
        If the header is damaged, or names, shapes, types or places of the tensors are wrong.
    """
    length = int.from_bytes(blob[:8], "little")
    if len(blob) < 8 or not 2 <= length <= min(_MAX_HEADER, len(blob) - 8):
        raise ValueError("an impossible header")
    try:
        header = parse_object(blob[8 : 8 + length])
    except ValueError as error:
        raise ValueError(f"an impossible header ({error})") from None
    missing, unknown = (list(a.keys() - b.keys()) for a, b in ((shapes, header), (header, shapes)))
    if missing or unknown:
        raise ValueError(f"lacking {_some(missing)}, unknown {_some(unknown)}")
    ends = []
    for name, shape in shapes.items():
        claim = header[name]
        if not isinstance(claim, dict) or claim.keys() != {"dtype", "shape", "data_offsets"}:
            raise ValueError(f"{name!r} is not described")
        if claim["dtype"] not in [*_ITEM]:
            raise ValueError(f"{name!r} is not of type {' or '.join(_ITEM)}")
        if claim["shape"] != [*shape]:
            raise ValueError(f"{name!r} has not the shape {shape}")
        place = claim["data_offsets"]
        if not isinstance(place, list) or [type(x) for x in place] != [int, int]:
            raise ValueError(f"{name!r} has no place")
        ends.append((place, _ITEM[claim["dtype"]] * math.prod(shape)))
    _check_places(ends, len(blob) - 8 - length)


def _check_places(ends, n_bytes):
    """Check that the tensors fill the data, side by side."""
    place = 0
    for (start, stop), size in sorted(ends):
        if start != place or stop != start + size:
            raise ValueError("tensors that overlap or leave gaps")
        place = stop
    if place != n_bytes:
        raise ValueError(f"{n_bytes} bytes of tensors instead of {place}")


def _some(names):
    """Quote a few names, which a stranger wrote, and count the others."""
    named = ", ".join(repr(name[:40]) for name in sorted(names)[:_NAMED]) or "none"
    return named if len(names) <= _NAMED else f"{named} and {len(names) - _NAMED} others"
