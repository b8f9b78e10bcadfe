"""Lobes of an atlas's regions."""

# beginnings of names in AAL and of gyri in general, the longer ones first
_LOBES = (
    ("parahippocampal", "temporal"),
    ("supp_motor", "frontal"),
    ("supramarginal", "parietal"),
    ("paracentral", "frontal"),
    ("postcentral", "parietal"),
    ("precentral", "frontal"),
    ("precuneus", "parietal"),
    ("hippocampus", "temporal"),
    ("calcarine", "occipital"),
    ("occipital", "occipital"),
    ("olfactory", "frontal"),
    ("rolandic", "frontal"),
    ("temporal", "temporal"),
    ("parietal", "parietal"),
    ("fusiform", "temporal"),
    ("amygdala", "temporal"),
    ("cingul", "limbic"),
    ("angular", "parietal"),
    ("frontal", "frontal"),
    ("lingual", "occipital"),
    ("heschl", "temporal"),
    ("cuneus", "occipital"),
    ("insula", "insula"),
    ("rectus", "frontal"),
    ("ofc", "frontal"),
)


def name_lobe(region):
    """Name the lobe of a region such as ``"Postcentral_L"``; empty where it is in none."""
    plain = (region or "").casefold().removeprefix("near ")
    return next((lobe for start, lobe in _LOBES if plain.startswith(start)), "")
