"""Assigning labels: yolopipe's one call for a whole shard against the notes' loop over boxes.

    python benchmarks/labels.py [annotation.txt image_width image_height]

Without arguments the boxes are drawn: as many and about as large as in BCCD (364 images of 640x480, 4,886 boxes).
"""

from __future__ import annotations

import sys

import numpy as np
from timing import best_seconds

from yolopipe.config import STRIDES, Assignment
from yolopipe.formats.annotation_text import read_annotations
from yolopipe.geometry import letterbox_matrix, transform_boxes
from yolopipe.labels.assign import assign
from yolopipe.labels.sparse import encode_sparse

SIZE, CLASSES = 416, 80
ANCHORS = Assignment().anchors_px / np.array(STRIDES)[:, None, None]


def drawn_boxes(images: int, boxes: int) -> tuple[np.ndarray, np.ndarray]:
    """Boxes (M, 4) at the network input and the image of each."""
    random = np.random.default_rng(0)
    wh = random.uniform(40, 70, (boxes, 2))
    xy = random.uniform(0, SIZE - 70, (boxes, 2))
    return np.concatenate([xy, xy + wh], axis=1), np.sort(random.integers(0, images, boxes))


def read_boxes(path: str, width: int, height: int) -> tuple[np.ndarray, np.ndarray]:
    """The same from annotation text of images of one size; boxes without area left out."""
    text = read_annotations(path)
    good = (text.boxes_xyxy[:, 2:] > text.boxes_xyxy[:, :2]).all(axis=1)
    matrix = letterbox_matrix((width, height), SIZE)
    return transform_boxes(matrix, text.boxes_xyxy[good]), text.box_image[good]


def iou_of(box: np.ndarray, anchors: np.ndarray) -> np.ndarray:
    """The notes' ``bbox_iou``: (1, 4) against (3, 4), centre and size."""
    areas = box[..., 2] * box[..., 3], anchors[..., 2] * anchors[..., 3]
    box = np.concatenate([box[..., :2] - box[..., 2:] * 0.5, box[..., :2] + box[..., 2:] * 0.5], axis=-1)
    anchors = np.concatenate(
        [anchors[..., :2] - anchors[..., 2:] * 0.5, anchors[..., :2] + anchors[..., 2:] * 0.5], -1
    )
    inter = np.maximum(np.minimum(box[:, 2:], anchors[:, 2:]) - np.maximum(box[:, :2], anchors[:, :2]), 0.0)
    return inter[:, 0] * inter[:, 1] / (areas[0] + areas[1] - inter[:, 0] * inter[:, 1])


def notes_loop(images: list[np.ndarray]) -> None:
    """The notes' ``preprocess_true_boxes``, image by image and box by box, dense arrays and all."""
    strides = np.array(STRIDES)
    for boxes in images:
        label = [np.zeros((SIZE // s, SIZE // s, 3, 5 + CLASSES)) for s in STRIDES]
        lists, count = [np.zeros((150, 4)) for _ in STRIDES], np.zeros(3)
        for box in boxes:
            onehot = np.zeros(CLASSES)
            onehot[0] = 1.0
            smooth = onehot * (1 - 0.01) + 0.01 * np.full(CLASSES, 1.0 / CLASSES)
            xywh = np.concatenate([(box[2:] + box[:2]) * 0.5, box[2:] - box[:2]], axis=-1)
            scaled = 1.0 * xywh[np.newaxis, :] / strides[:, np.newaxis]
            ious, found = [], False
            for i in range(3):
                centred = np.zeros((3, 4))
                centred[:, 0:2] = np.floor(scaled[i, 0:2]).astype(np.int32) + 0.5
                centred[:, 2:4] = ANCHORS[i]
                ious.append(iou_of(scaled[i][np.newaxis, :], centred))
                mask = ious[-1] > 0.3
                if np.any(mask):
                    write(label[i], lists[i], count, i, scaled, mask, xywh, smooth)
                    found = True
            if not found:
                best = int(np.argmax(np.array(ious).reshape(-1)))
                write(label[best // 3], lists[best // 3], count, best // 3, scaled, best % 3, xywh, smooth)


def write(label, boxes, count, i, scaled, mask, xywh, smooth):
    """One box into one scale's label and list."""
    x, y = np.floor(scaled[i, 0:2]).astype(np.int32)
    label[y, x, mask, :] = 0
    label[y, x, mask, 0:4] = xywh
    label[y, x, mask, 4:5] = 1.0
    label[y, x, mask, 5:] = smooth
    boxes[int(count[i] % 150), :4] = xywh
    count[i] += 1


def main() -> None:
    """Print the table."""
    path = sys.argv[1:]
    boxes, rows = read_boxes(path[0], int(path[1]), int(path[2])) if path else drawn_boxes(364, 4886)
    number = int(rows.max()) + 1
    images = [boxes[rows == row] for row in range(number)]

    def ours() -> list:
        return encode_sparse(assign(boxes, rows, input_size=SIZE, anchors=ANCHORS), rows, number)

    seconds = best_seconds({"assign": lambda: assign(boxes, rows, input_size=SIZE, anchors=ANCHORS), "ours": ours})
    seconds |= best_seconds({"notes": lambda: notes_loop(images)}, rounds=3)
    label_bytes = (
        sum(part.nbytes for row in ours() for label in row for part in label) + boxes.nbytes // 2 + 2 * len(boxes)
    )
    dense = 4 * (sum((SIZE // s) ** 2 * 3 * (5 + CLASSES) for s in STRIDES) + 3 * 150 * 4)
    print(f"{number:,} images, {len(boxes):,} boxes, {SIZE} px, {CLASSES} classes")
    print(f"  the notes' loop            {seconds['notes'] * 1e6 / number:10.1f} us an image")
    print(f"  one vectorised call        {seconds['assign'] * 1e6 / number:10.1f} us an image")
    print(f"  ... and the stored arrays  {seconds['ours'] * 1e6 / number:10.1f} us an image")
    print(f"  ratio                      {seconds['notes'] / seconds['assign']:10.0f}")
    print(f"  ratio with the arrays      {seconds['notes'] / seconds['ours']:10.0f}")
    print(f"  sparse label               {label_bytes / len(boxes):10.1f} bytes a box")
    print(f"  dense over sparse          {dense * number / label_bytes:10.0f} times")
    many, of_row = drawn_boxes(118_000, 860_000)
    big = best_seconds({"big": lambda: assign(many, of_row, input_size=SIZE, anchors=ANCHORS)}, rounds=1)["big"]
    print(f"  860,000 boxes at once      {big:10.1f} s")


if __name__ == "__main__":
    main()
