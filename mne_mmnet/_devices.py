"""Devices that fail: telling why, and handing back memory. No MNE, for training's sake."""

import torch

# how drivers and libraries say that there is no memory left, and that a device is gone
_NO_MEMORY = ("out of memory", "can't allocate memory", "not enough memory", "_ALLOC_FAILED")
_NO_DEVICE = ("CUDA error", "CUDA driver error", "HIP error", "CUBLAS_", "CUSOLVER_", "CUDNN_")


def recognise(error):
    """Tell why a computation failed.

    Parameters
    ----------
    error : Exception
        What was raised.

    Returns
    -------
    trouble : "memory" | "device" | None
        None is anything else.
    """
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
    """Hand back what torch keeps for later, if the device still answers.

    Parameters
    ----------
    device : torch.device
        The device.
    """
    try:
        if device.type == "cuda":
            torch.cuda.empty_cache()
        elif device.type == "mps":
            torch.mps.empty_cache()
    except RuntimeError:  # it is gone
        pass
