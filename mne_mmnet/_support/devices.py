"""Devices that fail: telling why, and handing back memory. No MNE, for training's sake."""

import sys
from pathlib import Path

import torch

# how drivers and libraries say that there is no memory left, and that a device is gone
_NO_MEMORY = ("out of memory", "can't allocate memory", "not enough memory", "_ALLOC_FAILED")
_NO_DEVICE = ("CUDA error", "CUDA driver error", "HIP error", "CUBLAS_", "CUSOLVER_", "CUDNN_")
# of this process, as Linux lists them; Triton is for Linux only
_LIBRARIES = Path("/proc/self/maps")


def recognise(error):
    """Tell why a computation failed: "memory" or "device"; None is anything else."""
    text = str(error)
    if isinstance(error, MemoryError | torch.cuda.OutOfMemoryError):
        return "memory"
    if isinstance(error, RuntimeError):
        if any(words in text for words in _NO_MEMORY):
            return "memory"
        if any(words in text for words in _NO_DEVICE):
            return "device"
    return None


def free_memory(device):
    """Hand back what torch keeps for later, if the device still answers."""
    try:
        if device.type == "cuda":
            torch.cuda.empty_cache()
        elif device.type == "mps":
            torch.mps.empty_cache()
    except RuntimeError:  # it is gone
        pass


def keep_triton_out():
    """Have torch do without Triton where importing it would end the process.

    The first optimiser of a process, and second derivatives of some functions, import Triton where
    it is installed (it comes with torch for CUDA), though they need none of it. Triton brings an
    LLVM of its own, and its import is a segmentation fault after Mesa, with which surfaces are
    drawn where there is no graphics card, has loaded the system's. The other way round they get
    along. Call it before making an optimiser and before differentiating what is not our own.
    """
    libraries = _LIBRARIES.read_bytes() if _LIBRARIES.exists() else b""
    if "triton" not in sys.modules and b"/libLLVM" in libraries:
        sys.modules["triton"] = None  # "import triton" is an ImportError from now on
