"""
While measuring: estimates of a live stream
===========================================

Windows of an incoming recording, localised as they come: with source variances found in each
window, or through filters made beforehand.
"""

# %%
# A recording to come
# -------------------
#
# Ten seconds of a rhythm of 10 Hz in the left precentral gyrus that is there every other second,
# and white noise; the first two seconds were measured before, to make filters of.

import importlib.util
import uuid

import matplotlib.pyplot as plt
import mne
import numpy as np

import mne_mmnet

rng = np.random.default_rng(0)
sfreq, n_times = 250.0, 2501
montage = mne.channels.make_standard_montage("biosemi64")
info = mne.create_info(montage.ch_names, sfreq, "eeg").set_montage(montage)
fwd = mne_mmnet.make_template_forward(info)
fixed = mne.convert_forward_solution(fwd, surf_ori=True, force_fixed=True)
mni = mne_mmnet.source_mni(fwd)
source = int(np.argmin(np.linalg.norm(mni - [-38.0, -20.0, 55.0], axis=1)))
times = np.arange(n_times) / sfreq
course = 50e-9 * np.sin(2 * np.pi * 10 * times) * (times % 2 < 1)
data = np.outer(fixed["sol"]["data"][:, source], course)
raw = mne.io.RawArray(data + 5e-7 * rng.standard_normal(data.shape), info)
raw.set_eeg_reference(projection=True)

# %%
# Two ways
# --------
#
# An operator finds the source variances in each window anew. Filters have those of the data that
# they were made of, and a window costs a matrix product. Both are given to
# :class:`mne_mmnet.MMNetStream`, with the info that says which channels come in which order.

operator = mne_mmnet.make_mmnet_operator(raw.info, fwd)
filters = mne_mmnet.make_mmnet_filters(raw.copy().crop(0, 1), operator)
solving = mne_mmnet.MMNetStream(operator, raw.info, pick_ori="vector")
filtering = mne_mmnet.MMNetStream(filters, raw.info, pick_ori="vector")

# %%
# Windows are arrays (n_channels, n_times) in volts, or in the unit that the info declares; so are
# the currents, in A·m. Windows in which nothing is active are doubted: warnings come once for each
# kind of reason, and ``concerns`` has those of the last window.

window, power = 50, {"each window": [], "filters": []}
near = np.linalg.norm(mni - mni[source], axis=1) < 15.0
for start in range(0, n_times - window + 1, window):
    part = raw.get_data(start=start, stop=start + window)
    for way, stream in (("each window", solving), ("filters", filtering)):
        with mne.utils.use_log_level("error"):
            currents = stream.push(part)
        total = currents[near].sum(axis=0)  # (3, n_times): the moment within 15 mm
        power[way].append(np.sqrt(np.square(total).sum(axis=0).mean()))
    if start == 5 * window:
        print("a window without the rhythm:", *solving.concerns, sep="\n  ")

print("each window:", solving.latency)
print("filters:    ", filtering.latency)

# %%
# The moment within 15 mm of the source. Filters stay with the sources of the first second, and
# show noise where these are silent; the solver finds nothing there.

fig, ax = plt.subplots(figsize=(7, 3), layout="constrained")
for way, values in power.items():
    ax.step(
        window / sfreq * np.arange(len(values)), 1e9 * np.array(values), where="post", label=way
    )
ax.set(xlabel="Time (s)", ylabel="Moment (nA·m, rms)")
ax.legend()

# %%
# From an amplifier
# -----------------
#
# Amplifiers of most makers speak the lab streaming layer (LSL), which `mne-lsl
# <https://mne.tools/mne-lsl>`__ reads (``pip install "mne_mmnet[live]"``). Its player stands for
# one here. What is done to a stream (picks, names, reference, filters) is forgotten when it is
# connected again: ``prepare`` repeats it. Where a window takes longer than the next one to come,
# those between are dropped and counted.

if importlib.util.find_spec("mne_lsl") is None:
    print("mne-lsl is not installed: this part was not run")
else:
    import mne_lsl
    from mne_lsl.player import PlayerLSL
    from mne_lsl.stream import StreamLSL

    mne_lsl.set_log_level("error")

    def prepare(stream):
        """Do what MNE-LSL forgets with the connection."""
        stream.set_eeg_reference("average")

    name = f"tutorial-{uuid.uuid4().hex}"
    with PlayerLSL(raw, chunk_size=5, name=name, source_id=name):
        stream = StreamLSL(bufsize=2.0, name=name).connect(timeout=10.0)
        prepare(stream)
        localizer = mne_mmnet.MMNetStream(filters, stream.info)
        windows = mne_mmnet.follow_stream(
            stream, localizer.push, window=0.2, step=0.1, prepare=prepare
        )
        for k, one in enumerate(windows):
            strongest = int(np.square(one.currents).sum(axis=1).argmax())
            x, y, z = mni[strongest]
            print(
                f"{1e3 * one.latency:4.0f} ms after its last sample: strongest at "
                f"({x:.0f}, {y:.0f}, {z:.0f}) mm, {one.n_dropped} windows dropped"
            )
            if k == 9:
                break
        stream.disconnect()

# %%
# The player dates samples ahead of their arrival by up to a chunk, so that the latency seen is up
# to 20 ms too small here; with an amplifier it is what it says.
