// Verdicts on the detections of an image at a score: the rules of scoring/matching.py, evaluated whenever the slider moves.

const data = readJson('data');
const pictures = readJson('pictures');
const TRUE_POSITIVE = 0, CLASSIFICATION = 1, DUPLICATE = 2, LOCALIZATION = 3, BOTH = 4, BACKGROUND_ERROR = 5, IGNORED = 6;
const KINDS = ['true positive', 'classification', 'duplicate', 'localization', 'class + localization', 'background', 'ignored'];
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

function area(box) {
  return (box.x2 - box.x1) * (box.y2 - box.y1);
}

function sharedArea(a, b) {
  const width = Math.min(a.x2, b.x2) - Math.max(a.x1, b.x1);
  const height = Math.min(a.y2, b.y2) - Math.max(a.y1, b.y1);
  return width > 0 && height > 0 ? width * height : 0;
}

function iou(a, b) {
  const shared = sharedArea(a, b);
  return shared > 0 ? shared / (area(a) + area(b) - shared) : 0;
}

/** Whether MATCH_IOU or more of a detection lies inside an ignored box of its class, or of any class (-1). */
function isInside(box, ignored) {
  return area(box) > 0 && ignored.some((other) => (other.cls === box.cls || other.cls < 0) && sharedArea(box, other) / area(box) >= MATCH_IOU);
}

const images = data.images.map(({ path, truth, ignored: regions, found, picture }, index) => {
  const annotated = boxesOf(truth, 5);
  const ignored = boxesOf(regions, 5);
  const detected = boxesOf(found, 6);
  const overlaps = detected.map((box) => annotated.map((other) => iou(box, other)));
  const inside = detected.map((box) => isInside(box, ignored));
  return { index, path, picture, annotated, ignored, detected, overlaps, inside };
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

/** The verdict on one image: a kind for each shown detection, the missed boxes, its cells of the confusion matrix. */
function judge(image, score) {
  const free = image.annotated.map(() => true);
  let shown = image.detected.findIndex((box) => box.score < score);
  if (shown < 0) shown = image.detected.length;
  const kinds = Array(shown).fill(-1);
  const rows = Array(shown).fill(BACKGROUND);
  const take = (kind) => {
    for (let number = 0; number < shown; number += 1) {
      if (kinds[number] >= 0) continue;
      const { cls } = image.detected[number];
      const best = bestFree(image, number, free, (box) => kind === CLASSIFICATION || box.cls === cls);
      if (best < 0) continue;
      free[best] = false;
      kinds[number] = kind;
      rows[number] = image.annotated[best].cls;
    }
  };
  take(TRUE_POSITIVE);
  kinds.forEach((kind, number) => { if (kind < 0 && image.inside[number]) kinds[number] = IGNORED; });
  take(CLASSIFICATION);
  const counts = KINDS.map(() => 0);
  const cells = [];
  rows.forEach((row, number) => {
    if (kinds[number] < 0) kinds[number] = unmatched(image, number);
    counts[kinds[number]] += 1;
    if (kinds[number] !== IGNORED) cells.push([row, image.detected[number].cls]);
  });
  const missed = [];
  free.forEach((open, number) => {
    if (!open) return;
    missed.push(number);
    cells.push([image.annotated[number].cls, BACKGROUND]);
  });
  const errors = missed.length + shown - counts[TRUE_POSITIVE] - counts[IGNORED];
  return { image, kinds, missed, cells, counts, errors };
}
