"""Files may come from anyone: nothing in them is executed, and nothing is fetched."""

import ast
from pathlib import Path

import pytest

import mne_mmnet
from mne_mmnet.weights import read_card, read_model
from process_cases import run_python

PACKAGE = Path(mne_mmnet.__file__).parent
SOURCES = sorted(PACKAGE.rglob("*.py"))

# what runs code that is in a file, or fetches one
FORBIDDEN_IMPORTS = {
    *("pickle", "cPickle", "_pickle", "dill", "cloudpickle", "shelve", "marshal"),
    *("urllib", "http", "requests", "socket", "ssl", "ftplib", "aiohttp", "httpx", "wget"),
    *("imp", "runpy", "code", "yaml"),
}
FORBIDDEN_CALLS = {
    *("eval", "exec", "compile", "__import__", "os.system", "os.popen"),
    *("torch.jit.load", "torch.hub.load", "torch.hub.load_state_dict_from_url"),
    *("joblib.load", "joblib.dump", "joblib.Memory"),  # pickles; its workers are ours
    *("torch.package.PackageImporter", "np.fromfile", "pooch.retrieve", "pooch.create"),
}
# what is harmless with an option that must be there
REQUIRED = {
    "torch.load": ("weights_only", True),
    "np.load": ("allow_pickle", False),
    "numpy.load": ("allow_pickle", False),
}


def dotted(node):
    """Name of what is called, ``torch.load`` for instance."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute):
        return f"{dotted(node.value)}.{node.attr}"
    return "?"


def find_offences(code):
    """Everything in a source file that could run or fetch what it should not."""
    for node in ast.walk(ast.parse(code)):
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and not node.level:
            names = [node.module]
            if node.module in ("joblib", "torch", "numpy", "pooch", "os"):
                calls = {f"{node.module}.{alias.name}" for alias in node.names}
                yield from calls & (FORBIDDEN_CALLS | set(REQUIRED))
        yield from (name for name in names if name.split(".")[0] in FORBIDDEN_IMPORTS)
        if isinstance(node, ast.Call):
            name = dotted(node.func)
            if name in FORBIDDEN_CALLS:
                yield name
            if name in REQUIRED:
                option, value = REQUIRED[name]
                given = {k.arg: getattr(k.value, "value", None) for k in node.keywords}
                if given.get(option) is not value:
                    yield f"{name} without {option}={value}"


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_nothing_executes_files(path):
    """No pickle, no eval, no network; torch and NumPy load plain numbers only."""
    assert list(find_offences(path.read_text(encoding="utf-8"))) == []


@pytest.mark.parametrize(
    "code",
    [
        "import pickle",
        "from urllib.request import urlopen",
        "def f():\n    import socket",
        "torch.load(path)",
        "torch.load(path, weights_only=False)",
        "np.load(path, allow_pickle=True)",
        "np.load(path)",
        "eval(text)",
        "from torch import load",
        "pooch.retrieve(url, None)",
    ],
)
def test_offences_are_found(code):
    """The check above can fail."""
    assert list(find_offences(code))


# Python announces to audit hooks what it is about to do; imports are done before
AUDIT = """
import sys, torch, safetensors.torch, mne_mmnet.network
from mne_mmnet.weights import read_model
seen = []
sys.addaudithook(lambda event, args: seen.append((event, str(args)[:200])))
network, card = read_model(sys.argv[1])
bad = ("socket.", "pickle.", "subprocess.", "os.system", "os.exec", "urllib.", "http.", "ctypes.")
print([event for event in seen if event[0].startswith(bad)])
print(any(event == "open" for event, _ in seen), card.name)
"""


@pytest.mark.parametrize("name", ["mmnet-base", "mmnet-cosine"])
def test_reading_opens_files_and_does_nothing_else(name):
    """No socket, no unpickling, no process while a model is read."""
    assert run_python("-c", AUDIT, name).split("\n")[:2] == ["[]", f"True {name}"]


def test_a_pickle_is_no_model(tmp_path):
    """Weights of torch.save under another name are refused, and not unpickled."""
    import pickle

    class Bomb:
        def __reduce__(self):
            return exec, ("raise SystemExit('the bomb went off')",)

    blob = pickle.dumps(Bomb())
    for suffix in (".json", ".safetensors"):
        (tmp_path / f"bomb{suffix}").write_bytes(blob)
    with pytest.raises(ValueError, match="no JSON model card"):
        read_card(tmp_path / "bomb")
    card = (Path(mne_mmnet.__file__).parents[1] / "pretrained" / "mmnet-base.json").read_text()
    (tmp_path / "bomb.json").write_text(card)
    with pytest.raises(ValueError, match="is damaged: its sha256"):
        read_model(tmp_path / "bomb")
