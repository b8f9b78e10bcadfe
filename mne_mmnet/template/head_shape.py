"""Fit of a template head to digitised points: where it sits, and its size along each axis.

A point x of the template (surface RAS, m) lies at R S x + t in head coordinates, with S the three
scales, R a rotation and t a shift. All nine numbers are found together, as the maximum of a
posterior: distances of the points from the scalp are robust (Huber), and heads differ from the
template by some 6 % along each axis, so that few points move it little.
"""

from typing import NamedTuple

import numpy as np
from scipy.optimize import least_squares
from scipy.spatial import cKDTree
from scipy.spatial.transform import Rotation

# standard deviations: points from a scaled template's scalp (m; heads are no scaled templates),
# fiducials from its own, scales, and the pose from the standard one (rad, m)
_POINT, _FIDUCIAL, _SCALE = 4e-3, 5e-3, 0.06
_TURN, _SHIFT = np.deg2rad(10.0), 0.015
# in standard deviations: farther points are outliers, and pull no harder
_OUTLIER = 1.5


class HeadFit(NamedTuple):
    """A fitted template.

    Parameters
    ----------
    scales : array of shape (3,)
        Along the template's axes: x to the right, y to the front, z up.
    uncertainty : array of shape (3,)
        Their standard deviations.
    trans : array of shape (4, 4)
        From head coordinates to those of the scaled template, m.
    distances : array of shape (n_points,)
        Of the points from its scalp (m), positive outside.
    """

    scales: np.ndarray
    uncertainty: np.ndarray
    trans: np.ndarray
    distances: np.ndarray


def fit_head(points, scalp, normals, trans, fiducials=None):
    """Fit pose and scales of a template head.

    Parameters
    ----------
    points : array of shape (n_points, 3)
        On the scalp, in head coordinates (m).
    scalp, normals : array of shape (n_vertices, 3)
        The template's scalp (m, surface RAS) and its unit normals.
    trans : array of shape (4, 4)
        The standard pose: from head coordinates to surface RAS, m.
    fiducials : array of shape (2, n_fiducials, 3) | None
        Digitised ones (head coordinates, m), and the template's (surface RAS, m).

    Returns
    -------
    fit : HeadFit
        The fit.
    """
    tree = cKDTree(scalp)
    standard = np.linalg.inv(trans)
    n_points = len(points)
    middle = points.mean(axis=0)  # turns about it hardly shift the points

    def unpack(x):
        turn = Rotation.from_rotvec(x[:3]).as_matrix()
        rotation = turn @ standard[:3, :3]
        shift = turn @ (standard[:3, 3] - middle) + middle + x[3:6]
        return rotation, shift, np.exp(x[6:])

    def distances(x):
        rotation, shift, scales = unpack(x)
        place = (points - shift) @ rotation / scales
        nearest = tree.query(place)[1]
        slope = normals[nearest] / scales
        height = (normals[nearest] * (place - scalp[nearest])).sum(axis=1)
        return height / np.linalg.norm(slope, axis=1)

    def residuals(x):
        parts = [distances(x) / _POINT, x[:3] / _TURN, x[3:6] / _SHIFT, x[6:] / _SCALE]
        if fiducials is not None:
            rotation, shift, scales = unpack(x)
            there = (fiducials[1] * scales) @ rotation.T + shift
            parts.append((there - fiducials[0]).ravel() / _FIDUCIAL)
        return np.concatenate(parts)

    def loss(squares):
        """Huber's for the points, squares for the priors."""
        rho = np.stack([squares, np.ones_like(squares), np.zeros_like(squares)])
        far = np.flatnonzero(squares[:n_points] > _OUTLIER**2)
        root = np.sqrt(squares[far])
        rho[0, far] = 2 * _OUTLIER * root - _OUTLIER**2
        rho[1, far] = _OUTLIER / root
        rho[2, far] = -0.5 * _OUTLIER / root**3
        return rho

    found = least_squares(residuals, np.zeros(9), loss=loss, x_scale="jac")
    rotation, shift, scales = unpack(found.x)
    covariance = np.linalg.inv(found.jac.T @ found.jac)
    pose = np.eye(4)
    pose[:3, :3], pose[:3, 3] = rotation.T, -rotation.T @ shift
    uncertainty = scales * np.sqrt(np.diag(covariance)[6:])
    return HeadFit(scales, uncertainty, pose, distances(found.x))
