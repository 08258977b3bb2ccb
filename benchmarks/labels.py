"""Assigning labels: yolopipe's one call for a whole shard against the reference's loop over boxes.

    python benchmarks/labels.py [annotation.txt image_width image_height]

Without arguments the boxes are drawn: as many and about as large as in BCCD (364 images of 640x480, 4,886 boxes).
"""

from __future__ import annotations

import sys

import numpy as np
from reference_loader import ReferenceLoader
from timing import best_seconds

from yolopipe.config.params import STRIDES, Assignment
from yolopipe.formats.annotation_text import read_annotations
from yolopipe.imaging.geometry import letterbox_matrix, transform_boxes
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


def main() -> None:
    """Print the table."""
    path = sys.argv[1:]
    boxes, rows = read_boxes(path[0], int(path[1]), int(path[2])) if path else drawn_boxes(364, 4886)
    number = int(rows.max()) + 1
    images = [np.insert(boxes[rows == row], 4, 0, axis=1) for row in range(number)]
    plain = ReferenceLoader(SIZE, CLASSES, ANCHORS, np.array(STRIDES))

    def ours() -> list:
        return encode_sparse(assign(boxes, rows, input_size=SIZE, anchors=ANCHORS), rows, number)

    seconds = best_seconds({"assign": lambda: assign(boxes, rows, input_size=SIZE, anchors=ANCHORS), "ours": ours})
    seconds |= best_seconds({"reference": lambda: [plain.labels(boxes) for boxes in images]}, rounds=3)
    label_bytes = (
        sum(part.nbytes for row in ours() for label in row for part in label) + boxes.nbytes // 2 + 2 * len(boxes)
    )
    dense = 4 * (sum((SIZE // s) ** 2 * 3 * (5 + CLASSES) for s in STRIDES) + 3 * 150 * 4)
    print(f"{number:,} images, {len(boxes):,} boxes, {SIZE} px, {CLASSES} classes")
    print(f"  the reference's loop       {seconds['reference'] * 1e6 / number:10.1f} us an image")
    print(f"  one vectorised call        {seconds['assign'] * 1e6 / number:10.1f} us an image")
    print(f"  ... and the stored arrays  {seconds['ours'] * 1e6 / number:10.1f} us an image")
    print(f"  ratio                      {seconds['reference'] / seconds['assign']:10.0f}")
    print(f"  ratio with the arrays      {seconds['reference'] / seconds['ours']:10.0f}")
    print(f"  sparse label               {label_bytes / len(boxes):10.1f} bytes a box")
    print(f"  dense over sparse          {dense * number / label_bytes:10.0f} times")
    many, of_row = drawn_boxes(118_000, 860_000)
    big = best_seconds({"big": lambda: assign(many, of_row, input_size=SIZE, anchors=ANCHORS)}, rounds=1)["big"]
    print(f"  860,000 boxes at once      {big:10.1f} s")


if __name__ == "__main__":
    main()
