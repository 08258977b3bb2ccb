"""The collision rules as plain loops over one image, in Python numbers, for comparison.

No arrays of many images, keys or rounds: a dictionary from (scale, y, x, anchor) to the box assigned there, filled
box by box, and one greedy walk over all pairs in a fixed order.
"""

from __future__ import annotations


def overlap(box, anchor_wh, centre):
    """IoU of a corner box (in strides) and an anchor around a centre."""
    (x1, y1, x2, y2), (w, h), (cx, cy) = box, anchor_wh, centre
    left, top = max(x1, cx - w / 2), max(y1, cy - h / 2)
    right, bottom = min(x2, cx + w / 2), min(y2, cy + h / 2)
    inter = max(0.0, right - left) * max(0.0, bottom - top)
    return inter / ((x2 - x1) * (y2 - y1) + w * h - inter)


def nine_places(box, size, anchors, strides):
    """[(iou, (scale, y, x, anchor))] in order of scale and anchor."""
    places = []
    for scale, stride in enumerate(strides):
        scaled = [float(side) / stride for side in box]
        x = min(int((scaled[0] + scaled[2]) / 2), size // stride - 1)
        y = min(int((scaled[1] + scaled[3]) / 2), size // stride - 1)
        for anchor in range(3):
            iou = overlap(scaled, [float(side) for side in anchors[scale][anchor]], (x + 0.5, y + 0.5))
            places.append((round(iou, 9), (scale, y, x, anchor)))
    return places


def assign_image(boxes, size, anchors, rule, strides=(8, 16, 32), threshold=0.3):
    """{(scale, y, x, anchor): box}, lost boxes, and per scale the boxes of its list."""
    every = [nine_places(box, size, anchors, strides) for box in boxes]
    owner, score, lists = {}, {}, [[] for _ in strides]
    for number, places in enumerate(every):
        wanted = [(iou, place) for iou, place in places if iou > threshold]
        wanted = wanted or [max(places, key=lambda pair: pair[0])]
        for iou, place in wanted:
            if place not in owner or rule == "notes" or iou >= score[place]:
                owner[place], score[place] = number, iou
        for scale in sorted({place[0] for _, place in wanted}):
            lists[scale].append(number)
    lost = [number for number in range(len(boxes)) if number not in owner.values()]
    if rule == "next-anchor":
        pairs = [(-iou, -number, place) for number in lost for iou, place in every[number]]
        added = [[] for _ in strides]
        for _, minus, place in sorted(pairs):
            if place not in owner and -minus in lost:
                owner[place] = -minus
                lost.remove(-minus)
                added[place[0]].append(-minus)
        for scale, numbers in enumerate(added):
            lists[scale] += sorted(set(numbers) - set(lists[scale]))
    return owner, lost, lists
