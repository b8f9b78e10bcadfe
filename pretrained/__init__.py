"""Weights and model cards shipped with the package."""
