"""Reading and writing Darknet weight files (``parser.c`` of pjreddie/darknet, ``load_weights_upto``).

A header, then the convolutions in the order of the cfg, no names and no sizes.  Header: int32 major, minor and
revision, and how many images were seen, uint64 from version 0.2 on, int32 before.  A convolution: beta, gamma, mean
and variance of its batch normalisation, or else its biases, then the kernel as (filters, channels, height, width).
All numbers float32, little endian.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

import keras
import numpy as np
import numpy.typing as npt

from yolopipe.errors import DataError
from yolopipe.files import atomic_file
from yolopipe.model.darknet_layout import FLOAT_BYTES, FileFit, Layout
from yolopipe.model.yolov3 import convolutions

__all__ = ["LEAST_VARIANCE", "load_darknet", "steady", "write_darknet"]

FLOAT = np.dtype("<f4")

LEAST_VARIANCE = 16.0
"""The smallest variance after :func:`steady`: another epsilon then changes a normalised value by 3e-7 at most."""

FETCH_AGAIN = "fetch or copy the file again, or set model.width and model.depth to those of its network"


def load_darknet(path: str | Path, model: keras.Model) -> FileFit:
    """Load a Darknet file into ``model``; heads only if they have as many classes.

    Args:
        path: a file that Darknet, or :func:`write_darknet`, wrote.
        model: what ``YOLOv3`` built; its weights are replaced.

    Returns:
        What the file holds; heads with another number of classes are skipped.

    Raises:
        DataError: before anything is loaded, if the file is missing, is not a Darknet file or has a size that no file
            of this network has; while loading, if a number is not finite or a variance negative.
    """
    layout = Layout.of(model)
    try:
        with Path(path).open("rb") as file:
            _read_header(file, path)
            size = max(0, Path(path).stat().st_size - file.tell())
            fit = layout.fit(size // FLOAT_BYTES) if size % FLOAT_BYTES == 0 else None
            if fit is None:
                raise DataError(f"{path}: {layout.misfit(size)}", hint=FETCH_AGAIN)
            _load(file, path, model, layout, fit)
    except OSError as error:
        raise DataError(f"{path}: expected a file of weights, but it cannot be read: {error.strerror}") from None
    return fit


def write_darknet(path: str | Path, model: keras.Model, *, steadied: bool = False) -> None:
    """Write all weights of ``model`` as a Darknet file (version 0.2, no images seen), atomically.

    Args:
        path: the file.
        model: what ``YOLOv3`` built.
        steadied: write the equivalent numbers of :func:`steady` instead.

    Raises:
        OSError: the file cannot be written.
    """
    with atomic_file(path) as partial, partial.open("wb") as file:
        file.write(struct.pack("<iiiQ", 0, 2, 0, 0))
        for conv, norm in convolutions(model):
            *others, kernel = (keras.ops.convert_to_numpy(variable) for variable in _variables(conv, norm))
            arrays = [*others, kernel.transpose(3, 2, 0, 1)]
            if steadied and norm is not None:
                arrays = steady(arrays, epsilon=norm.epsilon)
            for array in arrays:
                file.write(np.ascontiguousarray(array, FLOAT).tobytes())


def steady(arrays: list[npt.NDArray[Any]], *, epsilon: float) -> list[npt.NDArray[Any]]:
    """An equivalent convolution with the same result in programs that use another epsilon.

    The smaller a running variance, the more the epsilon beside it weighs: we and Darknet on a GPU take 1e-5, OpenCV
    takes 1e-6, Darknet on a CPU adds 1e-6 to the root.  Batch normalisation takes any factor out again, so filters,
    mean and (squared) variance are multiplied by the power of two that lifts the variance to 16 at least: no digit
    is lost, and no epsilon matters.  (In further training, filters with a variance as small as epsilon are no longer
    damped by it.)

    Args:
        arrays: beta, gamma, mean, variance (F,) and kernel (F, C, k, k), as in a file.
        epsilon: what is added to the variance here.

    Returns:
        The same five.

    >>> plain = [np.array([x], np.float32) for x in (0.5, 2.0, 0.25, 0.25)] + [np.ones((1, 1, 1, 1), np.float32)]
    >>> [round(array.item(), 5) for array in steady(plain, epsilon=1e-5)]
    [0.5, 2.0, 2.0, 16.00063, 8.0]
    """
    beta, gamma, mean, variance, kernel = arrays
    summed = variance.astype(np.float64) + epsilon
    factor = np.exp2(np.ceil(np.log2(LEAST_VARIANCE / summed) / 2).clip(min=0))
    return [beta, gamma, mean * factor, summed * factor**2 - epsilon, kernel * factor.reshape(-1, 1, 1, 1)]


def _variables(conv: Any, norm: Any | None) -> tuple[Any, ...]:
    """The variables of a convolution in the order of the file; the kernel is the last."""
    if norm is None:
        return conv.bias, conv.kernel
    return norm.beta, norm.gamma, norm.moving_mean, norm.moving_variance, conv.kernel


def _read_header(file: IO[bytes], path: str | Path) -> None:
    """Check the header and move ``file`` to its end."""
    start = file.read(20)
    if len(start) < 16:
        raise DataError(f"{path}: expected a file of weights, but it has {len(start)} bytes", hint=FETCH_AGAIN)
    major, minor, _ = struct.unpack_from("<iii", start)
    if not (0 <= major < 10 and 0 <= minor < 100):
        raise DataError(
            f"{path}: expected a Darknet weight file, which begins with a version such as 0.2.0, or a .weights.h5 of "
            f"yolopipe; this file begins with {start[:12]!r}",
            hint="name a .weights or .conv.NN file of Darknet, or a .weights.h5 file of yolopipe",
        )
    file.seek(20 if major * 10 + minor >= 2 else 16)


def _load(file: IO[bytes], path: str | Path, model: keras.Model, layout: Layout, fit: FileFit) -> None:
    sizes = layout.sizes if fit.num_classes is None else layout.for_classes(fit.num_classes)
    pairs = convolutions(model)[: fit.convolutions]
    for number, (size, (conv, norm)) in enumerate(zip(sizes, pairs, strict=False), 1):
        if size.filters != conv.filters:
            file.seek(size.floats * FLOAT_BYTES, 1)
            continue
        place = f"{path}: convolution {number} of {len(sizes)} ({size.name})"
        for variable, values in _values(file, conv, norm, place):
            variable.assign(values)


def _values(file: IO[bytes], conv: Any, norm: Any | None, place: str) -> Iterator[tuple[Any, npt.NDArray[Any]]]:
    """The variables of a convolution, each with its values in the file."""
    for variable in _variables(conv, norm):
        shape = tuple(variable.shape)
        values = np.frombuffer(file.read(int(np.prod(shape)) * FLOAT_BYTES), FLOAT)
        if not np.isfinite(values).all():
            raise DataError(f"{place}: {variable.name} holds a number that is not finite", hint=FETCH_AGAIN)
        if norm is not None and variable is norm.moving_variance and (values < 0).any():
            raise DataError(f"{place}: {variable.name} holds a negative number", hint=FETCH_AGAIN)
        if variable is conv.kernel:
            height, width, channels, filters = shape
            values = values.reshape(filters, channels, height, width).transpose(2, 3, 1, 0)
        yield variable, values
