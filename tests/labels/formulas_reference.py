"""The label formulas (docs/formulas.md, "Labels") as plain loops, box by box, for comparison.

One departure from the reference: a centre on the right or bottom edge belongs to the last cell, where the reference
raises an IndexError.
"""

import numpy as np


def iou_of(box, other):
    """One box against one box, both centre x, centre y, width, height."""
    left = max(box[0] - box[2] * 0.5, other[0] - other[2] * 0.5)
    top = max(box[1] - box[3] * 0.5, other[1] - other[3] * 0.5)
    right = min(box[0] + box[2] * 0.5, other[0] + other[2] * 0.5)
    bottom = min(box[1] + box[3] * 0.5, other[1] + other[3] * 0.5)
    inter = max(right - left, 0.0) * max(bottom - top, 0.0)
    return inter / (box[2] * box[3] + other[2] * other[3] - inter)


def reference_labels(bboxes, input_size, anchors, num_classes, strides=(8, 16, 32), threshold=0.3, longest=150):
    """The six arrays as float32."""
    grids = [input_size // stride for stride in strides]
    label = [np.zeros((grid, grid, 3, 5 + num_classes)) for grid in grids]
    lists = [np.zeros((longest, 4)) for _ in strides]
    count = [0, 0, 0]
    for bbox in bboxes:
        corners, class_number = bbox[:4], int(bbox[4])
        onehot = np.zeros(num_classes)
        onehot[class_number] = 1.0
        smooth = onehot * (1 - 0.01) + 0.01 * np.full(num_classes, 1.0 / num_classes)
        xywh = np.concatenate([(corners[2:] + corners[:2]) * 0.5, corners[2:] - corners[:2]])

        def write(i, anchor, column, line, xywh=xywh, smooth=smooth):
            label[i][line, column, anchor] = 0
            label[i][line, column, anchor, 0:4] = xywh
            label[i][line, column, anchor, 4] = 1.0
            label[i][line, column, anchor, 5:] = smooth

        def enlist(i, xywh=xywh):
            lists[i][count[i] % longest] = xywh
            count[i] += 1

        ious, cells = [], []
        found = False
        for i, stride in enumerate(strides):
            scaled = [1.0 * float(value) / stride for value in xywh]
            column, line = (min(int(np.floor(value)), grids[i] - 1) for value in scaled[:2])
            cells.append((column, line))
            ious.append([iou_of(scaled, (column + 0.5, line + 0.5, *anchors[i][a])) for a in range(3)])
            chosen = [a for a in range(3) if ious[i][a] > threshold]
            for anchor in chosen:
                write(i, anchor, column, line)
            if chosen:
                enlist(i)
                found = True
        if not found:
            best = int(np.argmax(np.array(ious).reshape(-1)))
            write(best // 3, best % 3, *cells[best // 3])
            enlist(best // 3)
    return [array.astype(np.float32) for array in (*label, *lists)]
