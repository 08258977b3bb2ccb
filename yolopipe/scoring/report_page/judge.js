// Verdicts on the detections of an image at a score: the rules of scoring/matching.py, evaluated whenever the slider moves.

const data = readJson('data');
const pictures = readJson('pictures');
const TRUE_POSITIVE = 0, CLASSIFICATION = 1, DUPLICATE = 2, LOCALIZATION = 3, BOTH = 4, BACKGROUND_ERROR = 5;
const KINDS = ['true positive', 'classification', 'duplicate', 'localization', 'class + localization', 'background'];
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

/** The free annotated box that a detection overlaps most, from MATCH_IOU on; -1 for none. */
function bestFree(image, number, free, allowed) {
  let best = -1;
  image.overlaps[number].forEach((value, other) => {
    if (free[other] && value >= MATCH_IOU && allowed(image.annotated[other]) && (best < 0 || value > image.overlaps[number][best])) best = other;
  });
  return best;
}

/** The verdict on a detection that was matched with no box. */
function unmatched(image, number) {
  let own = 0, other = 0;
  image.overlaps[number].forEach((value, place) => {
    if (image.annotated[place].cls === image.detected[number].cls) own = Math.max(own, value);
    else other = Math.max(other, value);
  });
  if (own >= MATCH_IOU) return DUPLICATE;
  if (other >= MATCH_IOU) return CLASSIFICATION;
  if (own >= NEAR_IOU) return LOCALIZATION;
  return other >= NEAR_IOU ? BOTH : BACKGROUND_ERROR;
}

/** The verdict on one image: a kind for each shown detection, the missed boxes, and its cells of the confusion matrix. */
function judge(image, score) {
  const free = image.annotated.map(() => true);
  let shown = image.detected.findIndex((box) => box.score < score);
  if (shown < 0) shown = image.detected.length;
  const kinds = Array(shown).fill(-1);
  const rows = Array(shown).fill(BACKGROUND);
  for (const kind of [TRUE_POSITIVE, CLASSIFICATION]) {
    for (let number = 0; number < shown; number += 1) {
      if (kinds[number] >= 0) continue;
      const { cls } = image.detected[number];
      const best = bestFree(image, number, free, (box) => kind === CLASSIFICATION || box.cls === cls);
      if (best < 0) continue;
      free[best] = false;
      kinds[number] = kind;
      rows[number] = image.annotated[best].cls;
    }
  }
  const counts = KINDS.map(() => 0);
  const cells = rows.map((row, number) => {
    if (kinds[number] < 0) kinds[number] = unmatched(image, number);
    counts[kinds[number]] += 1;
    return [row, image.detected[number].cls];
  });
  const missed = [];
  free.forEach((open, number) => {
    if (!open) return;
    missed.push(number);
    cells.push([image.annotated[number].cls, BACKGROUND]);
  });
  const errors = missed.length + shown - counts[TRUE_POSITIVE];
  return { image, kinds, missed, cells, counts, errors };
}
