// What each detection is at a score: the rules of verdicts.py, for every image, as fast as a slider moves.

const data = readJson('data');
const pictures = readJson('pictures');
const RIGHT = 0, CONFUSED = 1, DOUBLE = 2, BADLY_PLACED = 3, INVENTED = 4;
const KINDS = ['right', 'confused', 'double', 'badly placed', 'invented'];
const MATCH_IOU = 0.5;
const NEAR_IOU = 0.1;
const BACKGROUND = data.classes.length;

/** Flat numbers to boxes; `width` numbers each. */
function boxesOf(flat, width) {
  const boxes = [];
  for (let at = 0; at < flat.length; at += width) {
    const [x1, y1, x2, y2, cls, score] = flat.slice(at, at + width);
    boxes.push({ x1, y1, x2, y2, cls, score });
  }
  return boxes;
}

function iou(a, b) {
  const width = Math.min(a.x2, b.x2) - Math.max(a.x1, b.x1);
  const height = Math.min(a.y2, b.y2) - Math.max(a.y1, b.y1);
  if (width <= 0 || height <= 0) return 0;
  const shared = width * height;
  const union = (a.x2 - a.x1) * (a.y2 - a.y1) + (b.x2 - b.x1) * (b.y2 - b.y1) - shared;
  return union > 0 ? shared / union : 0;
}

const images = data.images.map(({ path, truth, found, picture }, index) => {
  const annotated = boxesOf(truth, 5);
  const detected = boxesOf(found, 6);
  return { index, path, picture, annotated, detected, overlaps: detected.map((box) => annotated.map((other) => iou(box, other))) };
});

/** The verdict on one image: a kind for each shown detection, the boxes missed, and its cells of the confusion. */
function judge(image, score) {
  const free = image.annotated.map(() => true);
  const kinds = [], cells = [];
  const counts = [0, 0, 0, 0, 0];
  for (const [number, box] of image.detected.entries()) {
    if (box.score < score) break;
    const overlap = image.overlaps[number];
    let best = -1;
    for (const [other, value] of overlap.entries()) {
      if (free[other] && value >= MATCH_IOU && (best < 0 || value > overlap[best])) best = other;
    }
    let kind;
    if (best >= 0) {
      free[best] = false;
      kind = image.annotated[best].cls === box.cls ? RIGHT : CONFUSED;
      cells.push([image.annotated[best].cls, box.cls]);
    } else {
      cells.push([BACKGROUND, box.cls]);
      if (overlap.some((value) => value >= MATCH_IOU)) kind = DOUBLE;
      else kind = overlap.some((value, other) => value >= NEAR_IOU && image.annotated[other].cls === box.cls) ? BADLY_PLACED : INVENTED;
    }
    kinds.push(kind);
    counts[kind] += 1;
  }
  const missed = [];
  for (const [number, open] of free.entries()) {
    if (!open) continue;
    missed.push(number);
    cells.push([image.annotated[number].cls, BACKGROUND]);
  }
  const errors = missed.length + kinds.length - counts[RIGHT];
  return { image, kinds, missed, cells, counts, errors };
}
