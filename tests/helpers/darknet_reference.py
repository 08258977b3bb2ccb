"""Darknet's files by hand: ``yolov3.cfg`` as a list of sections, random weights for any cfg, OpenCV as the reader.

Nothing here knows yolopipe.  A cfg is walked as Darknet walks it: section by section, numbers of earlier sections in
routes and shortcuts, and the weights of a convolution follow from the channels that arrive there.
"""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

import cv2
import numpy as np

Section = tuple[str, dict[str, Any]]

COCO_ANCHORS = "10,13, 16,30, 33,23, 30,61, 62,45, 59,119, 116,90, 156,198, 373,326"


def _conv(filters: int, size: int, stride: int = 1) -> Section:
    keys = {"batch_normalize": 1, "filters": filters, "size": size, "stride": stride, "pad": 1}
    return "convolutional", {**keys, "activation": "leaky"}


def _yolo(mask: str, classes: int, channels: int) -> list[Section]:
    last = {"filters": channels, "size": 1, "stride": 1, "pad": 1, "activation": "linear"}
    return [
        ("convolutional", last),
        ("yolo", {"mask": mask, "anchors": COCO_ANCHORS, "classes": classes, "num": 9}),
    ]


def yolov3_cfg(
    size: int,
    classes: int,
    stem: int = 32,
    stages: tuple[tuple[int, int, int], ...] = (
        (64, 32, 1),
        (128, 64, 2),
        (256, 128, 8),
        (512, 256, 8),
        (1024, 512, 4),
    ),
    heads: tuple[tuple[int, int], ...] = ((512, 1024), (256, 512), (128, 256)),
    routes: tuple[int, int] = (61, 36),
    ups: tuple[int, int] = (256, 128),
) -> list[Section]:
    """yolov3.cfg: channels of the stem; channels, narrow channels and blocks a stage; narrow and wide a head."""
    sections: list[Section] = [("net", {"batch": 1, "width": size, "height": size, "channels": 3}), _conv(stem, 3)]
    for wide, narrow, blocks in stages:
        sections.append(_conv(wide, 3, 2))
        for _ in range(blocks):
            sections += [_conv(narrow, 1), _conv(wide, 3), ("shortcut", {"from": -3, "activation": "linear"})]
    for index, ((narrow, wide), mask) in enumerate(zip(heads, ("6,7,8", "3,4,5", "0,1,2"), strict=True)):
        if index:
            sections += [("route", {"layers": "-4"}), _conv(ups[index - 1], 1), ("upsample", {"stride": 2})]
            sections.append(("route", {"layers": f"-1, {routes[index - 1]}"}))
        sections += [_conv(narrow, 1), _conv(wide, 3)] * 3
        sections += _yolo(mask, classes, 3 * (5 + classes))
    return sections


def small_cfg(size: int = 64, classes: int = 3) -> list[Section]:
    """The same with an eighth of the channels, at least 8, and one residual block a stage."""
    stages = ((8, 8, 1), (16, 8, 1), (32, 16, 1), (64, 32, 1), (128, 64, 1))
    return yolov3_cfg(size, classes, 8, stages, ((64, 128), (32, 64), (16, 32)), (16, 12), (32, 16))


SMALL = {"width": 0.125, "depth": 0.1}
"""What yolopipe calls the network of :func:`small_cfg`."""


def cfg_text(sections: list[Section]) -> str:
    """The file."""
    return "\n".join(
        "\n".join([f"[{kind}]", *(f"{key}={value}" for key, value in keys.items()), ""]) for kind, keys in sections
    )


def parse_cfg(text: str) -> list[Section]:
    """A file back to sections, all values as text without blanks."""
    sections: list[Section] = []
    for line in text.splitlines():
        if line.startswith("["):
            sections.append((line.strip("[]"), {}))
        elif line.strip():
            key, value = line.split("=")
            sections[-1][1][key.strip()] = value.replace(" ", "")
    return sections


def shapes(sections: list[Section]) -> list[tuple[int, int, int, bool, bool]]:
    """Filters, channels, kernel, normalisation of each convolution, and whether a shortcut adds to its output."""
    found, channels = [], []
    for number, (kind, keys) in enumerate(sections[1:]):
        before = channels[-1] if channels else 3
        if kind == "convolutional":
            added = sections[number + 2][0] == "shortcut"
            found.append((keys["filters"], before, keys["size"], bool(keys.get("batch_normalize")), added))
            before = keys["filters"]
        if kind == "route":
            layers = [int(layer) for layer in str(keys["layers"]).split(",")]
            before = sum(channels[layer if layer >= 0 else number + layer] for layer in layers)
        channels.append(before)
    return found


def random_weights(sections: list[Section], seed: int = 0, least_variance: float = 0.3) -> list[np.ndarray]:
    """Numbers in the order of the file that keep values near 1 through all layers, residual sums included."""
    rng = np.random.default_rng(seed)
    arrays: list[np.ndarray] = []
    for filters, channels, kernel, normalised, added in shapes(sections):
        fan_in = channels * kernel * kernel
        weights = rng.normal(0, fan_in**-0.5, (filters, channels, kernel, kernel))
        if normalised:
            variance = np.exp(rng.uniform(np.log(least_variance), np.log(3), filters))
            weights *= np.sqrt(variance).reshape(-1, 1, 1, 1)
            mean = rng.normal(0, 0.3, filters) * np.sqrt(variance)
            gamma = rng.uniform(0.6, 1.4, filters) * (0.3 if added else 1)
            arrays += [rng.normal(0, 0.3, filters), gamma, mean, variance, weights]
        else:
            arrays += [rng.normal(0, 1, filters), weights]
    return [array.astype("<f4") for array in arrays]


def weights_bytes(arrays: list[np.ndarray], version: tuple[int, int] = (0, 2), seen: int = 0) -> bytes:
    """The file."""
    header = struct.pack("<iii", *version, 0) + struct.pack("<Q" if version >= (0, 2) else "<i", seen)
    return header + b"".join(array.tobytes() for array in arrays)


def write(folder: Path, sections: list[Section], arrays: list[np.ndarray], **header: Any) -> tuple[Path, Path]:
    """cfg and weights."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "yolov3.cfg").write_text(cfg_text(sections))
    (folder / "yolov3.weights").write_bytes(weights_bytes(arrays, **header))
    return folder / "yolov3.cfg", folder / "yolov3.weights"


def opencv_outputs(cfg: Path, weights: Path, images: np.ndarray) -> list[np.ndarray]:
    """The three raw outputs for (B, S, S, 3) RGB in 0..1, small stride first, as OpenCV's own reader computes them.

    [yolo] layers decode; what goes into them is the output of the section before.
    """
    net = cv2.dnn.readNetFromDarknet(str(cfg), str(weights))
    net.setInput(np.ascontiguousarray(images.transpose(0, 3, 1, 2)))
    yolos = [int(name.split("_")[1]) for name in net.getLayerNames() if name.startswith("yolo_")]
    outputs = net.forward([f"conv_{number - 1}" for number in yolos])
    return [output.transpose(0, 2, 3, 1) for output in outputs][::-1]


def worst_difference(outputs: Any, others: Any) -> float:
    """The largest absolute difference; the shapes must be the same."""
    pairs = [(np.asarray(one), np.asarray(other)) for one, other in zip(outputs, others, strict=True)]
    assert [one.shape for one, _ in pairs] == [other.shape for _, other in pairs]
    assert all(one.std() > 0.3 for one, _ in pairs), "outputs that hardly vary prove nothing"
    return max(float(np.abs(one - other).max()) for one, other in pairs)
