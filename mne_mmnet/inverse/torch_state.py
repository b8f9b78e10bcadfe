"""Torch's global settings, put aside while the solver is at work."""

import contextlib

import torch


@contextlib.contextmanager
def plain_torch():
    """Compute in single precision where nothing else is said, on the CPU, without autocast.

    A user's ``torch.set_default_dtype``, ``set_default_device``, autocast or inference mode is
    meant for the user's own networks; it comes back at the end. Where none of them is set,
    nothing is done.
    """
    with contextlib.ExitStack() as stack:
        dtype = torch.get_default_dtype()
        if dtype != torch.float32:
            stack.callback(torch.set_default_dtype, dtype)
            torch.set_default_dtype(torch.float32)
        # torch 2.4 cannot tell its default device after set_default_device(None)
        if torch.empty(0).device.type != "cpu":
            stack.enter_context(torch.device("cpu"))
        for kind in ("cpu", "cuda"):
            if torch.is_autocast_enabled(kind):
                stack.enter_context(torch.autocast(kind, enabled=False))
        if torch.is_inference_mode_enabled():
            # graphs are kept from call to call, and sparse ones of one mode fail in the other
            stack.enter_context(torch.inference_mode(False))
            stack.enter_context(torch.no_grad())
        yield
