"""The data loader of the reference, to compare with: one image and one box at a time, in NumPy.

Boxes whose centre is outside the grid are left to the caller.  Everything else is as in the reference: dense arrays
in float64, and a copy of the picture before each operation (``docs/formulas.md``, "Labels" and "Augmentation").
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import cv2
import numpy as np

__all__ = ["ReferenceLoader"]

LIST_LENGTH, THRESHOLD, SMOOTHING = 150, 0.3, 0.01


def box_iou(boxes1: np.ndarray, boxes2: np.ndarray) -> np.ndarray:
    """(1, 4) against (3, 4), centre and size."""
    boxes1, boxes2 = np.array(boxes1), np.array(boxes2)
    areas = boxes1[..., 2] * boxes1[..., 3], boxes2[..., 2] * boxes2[..., 3]
    first, second = (
        np.concatenate([b[..., :2] - b[..., 2:] * 0.5, b[..., :2] + b[..., 2:] * 0.5], axis=-1)
        for b in (boxes1, boxes2)
    )
    sides = np.maximum(np.minimum(first[:, 2:], second[:, 2:]) - np.maximum(first[:, :2], second[:, :2]), 0.0)
    inter = sides[:, 0] * sides[:, 1]
    return inter / (areas[0] + areas[1] - inter)


@dataclass(frozen=True)
class ReferenceLoader:
    """The reference's data set class.

    Args:
        size: side of the network input.
        classes: how many.
        anchors: (3, 3, 2) in strides.
        strides: (3,).
    """

    size: int
    classes: int
    anchors: np.ndarray
    strides: np.ndarray

    def labels(self, bboxes: np.ndarray) -> tuple[list[np.ndarray], list[np.ndarray]]:
        """Three dense labels and three box lists from (N, 5) x1 y1 x2 y2 class, box by box."""
        label = [np.zeros((self.size // s, self.size // s, 3, 5 + self.classes)) for s in self.strides]
        lists, count = [np.zeros((LIST_LENGTH, 4)) for _ in self.strides], np.zeros(3)

        def write(i: int, which: np.ndarray | int) -> None:
            x, y = np.floor(scaled[i, 0:2]).astype(np.int32)
            label[i][y, x, which, :] = 0
            label[i][y, x, which, 0:4] = xywh
            label[i][y, x, which, 4:5] = 1.0
            label[i][y, x, which, 5:] = smooth
            lists[i][int(count[i] % LIST_LENGTH), :4] = xywh
            count[i] += 1

        for bbox in bboxes:
            corners = bbox[:4]
            onehot = np.zeros(self.classes, dtype=float)
            onehot[int(bbox[4])] = 1.0
            smooth = onehot * (1 - SMOOTHING) + SMOOTHING * np.full(self.classes, 1.0 / self.classes)
            xywh = np.concatenate([(corners[2:] + corners[:2]) * 0.5, corners[2:] - corners[:2]], axis=-1)
            scaled = 1.0 * xywh[np.newaxis, :] / self.strides[:, np.newaxis]
            ious, found = [], False
            for i in range(3):
                centred = np.zeros((3, 4))
                centred[:, 0:2] = np.floor(scaled[i, 0:2]).astype(np.int32) + 0.5
                centred[:, 2:4] = self.anchors[i]
                ious.append(box_iou(scaled[i][np.newaxis, :], centred))
                mask = ious[-1] > THRESHOLD
                if np.any(mask):
                    write(i, mask)
                    found = True
            if not found:
                best = int(np.argmax(np.array(ious).reshape(-1), axis=-1))
                write(best // 3, best % 3)
        return label, lists

    def picture(self, path: str, bboxes: np.ndarray, random: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """Read, mirror, crop, move, letterbox: each a pass over a copy of the picture."""
        image, bboxes = cv2.imread(path), np.copy(bboxes)
        if random.random() < 0.5:
            image = np.copy(image)[:, ::-1, :]
            bboxes[:, [0, 2]] = image.shape[1] - bboxes[:, [2, 0]]
        if random.random() < 0.5 and len(bboxes):
            image, bboxes = self._crop(np.copy(image), bboxes, random)
        if random.random() < 0.5 and len(bboxes):
            image, bboxes = self._move(np.copy(image), bboxes, random)
        return self._letterbox(cv2.cvtColor(image, cv2.COLOR_BGR2RGB), np.copy(bboxes))

    def _crop(self, image, bboxes, random):
        height, width = image.shape[:2]
        low, high = bboxes[:, :2].min(axis=0), bboxes[:, 2:4].max(axis=0)
        x1, y1 = (int(low[0] * random.random()), int(low[1] * random.random()))
        x2 = int(high[0] + (width - high[0]) * random.random())
        y2 = int(high[1] + (height - high[1]) * random.random())
        bboxes[:, [0, 2]] -= x1
        bboxes[:, [1, 3]] -= y1
        return image[y1:y2, x1:x2], bboxes

    def _move(self, image, bboxes, random):
        height, width = image.shape[:2]
        low, high = bboxes[:, :2].min(axis=0), bboxes[:, 2:4].max(axis=0)
        x = random.uniform(-low[0], width - high[0])
        y = random.uniform(-low[1], height - high[1])
        image = cv2.warpAffine(image, np.array([[1, 0, x], [0, 1, y]]), (width, height))
        bboxes[:, [0, 2]] += x
        bboxes[:, [1, 3]] += y
        return image, bboxes

    def _letterbox(self, image, bboxes):
        height, width = image.shape[:2]
        scale = min(self.size / width, self.size / height)
        w, h = int(scale * width), int(scale * height)
        left, top = (self.size - w) // 2, (self.size - h) // 2
        padded = np.full((self.size, self.size, 3), 128.0)
        padded[top : top + h, left : left + w, :] = cv2.resize(image, (w, h))
        bboxes[:, [0, 2]] = bboxes[:, [0, 2]] * scale + left
        bboxes[:, [1, 3]] = bboxes[:, [1, 3]] * scale + top
        return padded / 255.0, bboxes

    def batches(self, samples: list[tuple[str, np.ndarray]], batch: int) -> Iterator[tuple[np.ndarray, list]]:
        """Batches of pixels and six dense arrays, one after the other in this thread.

        Args:
            samples: path and (N, 5) boxes of each image.
            batch: images in one.
        """
        random = np.random.default_rng(0)
        for at in range(0, len(samples) - batch + 1, batch):
            images = np.zeros((batch, self.size, self.size, 3))
            grids = [self.size // s for s in self.strides]
            labels = [np.zeros((batch, g, g, 3, 5 + self.classes)) for g in grids]
            lists = [np.zeros((batch, LIST_LENGTH, 4)) for _ in grids]
            for number, (path, bboxes) in enumerate(samples[at : at + batch]):
                images[number], moved = self.picture(path, bboxes, random)
                moved[:, :4] = np.clip(moved[:, :4], 0, self.size - 1)
                for array, part in zip(
                    labels + lists, [p for parts in self.labels(moved) for p in parts], strict=True
                ):
                    array[number] = part
            yield images, labels + lists
