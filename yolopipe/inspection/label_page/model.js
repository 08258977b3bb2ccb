// The data of the page and the arithmetic of the labels; of the document only the data blocks are read.

const data = readJson('data');
const FORCED = 4;
const RESCUED = 8;
const ANCHORS_PER_SCALE = 3;
const WEIGHTS = { error: 1e6, warning: 1e3, note: 1 };

const images = data.images.map(
  ([path, split, copy, width, height, boxes, smallest, classes, packed, picture, side, ignored = []], index) => ({
    index, path, split: data.splits[split], copy, width, height, boxes, smallest, classes, packed, picture, side,
    ignored: ignored.map(([classId, xyxy, unlisted, place], order) => ({ number: boxes + order, classId, xyxy, unlisted, place })),
    hits: [], rules: new Set(), weight: 0, partner: -1,
  }),
);
const listed = images.slice(0, data.listed);

const checks = data.checks.map((check) => ({
  ...check,
  hits: check.hits.map(([image, message, boxes, place, partner]) => ({
    rule: check.rule, severity: check.severity, image, message, boxes, place, partner,
  })),
}));

for (const check of checks) {
  for (const hit of check.hits) {
    note(hit, hit.image, hit.partner);
    if (hit.partner !== -1) note(hit, hit.partner, hit.image);
  }
}

/** Add a hit to the image it names, if that is on the page (one that is not is a text). */
function note(hit, index, other) {
  if (typeof index !== 'number') return;
  const image = images[index];
  image.hits.push(hit);
  image.rules.add(hit.rule);
  image.weight += WEIGHTS[hit.severity];
  if (hit.partner !== -1 && typeof other === 'number' && image.partner === -1) image.partner = other;
}

const variantsOf = (index) => data.variants[index] || [];

/** The image that a variant is a copy of; an image of the gallery is its own. */
const sourceOf = new Map();
for (const [source, copies] of Object.entries(data.variants)) {
  for (const copy of copies) sourceOf.set(copy, Number(source));
}

let pictures = null;

/** The data URL of an image's picture, '' without one; the block is parsed when first needed. */
function pictureOf(image) {
  if (image.picture < 0) return '';
  pictures ||= readJson('pictures');
  return `data:image/jpeg;base64,${pictures[image.picture]}`;
}

/** Boxes and places of an image; the order of the columns is that of packing.py. */
function unpack(image) {
  if (image.unpacked) return image.unpacked;
  const bytes = Uint8Array.from(atob(image.packed), (letter) => letter.charCodeAt(0));
  let offset = 8;
  const column = (Type, length) => {
    const values = new Type(bytes.buffer, offset, length);
    offset += length * Type.BYTES_PER_ELEMENT;
    return values;
  };
  const [boxCount, placeCount] = new Int32Array(bytes.buffer, 0, 2);
  const corners = column(Float32Array, 4 * boxCount);
  const codes = column(Float32Array, 4 * placeCount);
  const iou = column(Float32Array, placeCount);
  const cells = column(Int32Array, placeCount);
  const classes = column(Uint16Array, boxCount);
  const owners = column(Uint16Array, placeCount);
  const takers = column(Uint16Array, placeCount);
  const kinds = column(Uint8Array, placeCount);
  const boxes = Array.from(classes, (classId, number) => ({
    number, classId, xyxy: Array.from(corners.subarray(4 * number, 4 * number + 4)), places: [],
  }));
  const places = Array.from(kinds, (kind, number) => {
    const scale = kind & 3;
    const grid = data.size / data.strides[scale];
    const cell = Math.floor(cells[number] / ANCHORS_PER_SCALE);
    const [tx, ty, tw, th] = codes.subarray(4 * number, 4 * number + 4);
    return {
      scale, row: Math.floor(cell / grid), column: cell % grid, anchor: cells[number] % ANCHORS_PER_SCALE,
      box: owners[number], takenBy: takers[number] - 1, iou: iou[number], tx, ty, tw, th,
      forced: Boolean(kind & FORCED), rescued: Boolean(kind & RESCUED),
    };
  });
  for (const place of places) boxes[place.box].places.push(place);
  image.unpacked = { boxes, places };
  return image.unpacked;
}

/** The box decoded from a place as the network decodes it; tx and ty are values of the sigmoid. */
function decodePlace(place) {
  const stride = data.strides[place.scale];
  const [anchorW, anchorH] = data.anchors[place.scale][place.anchor];
  const x = (place.column + place.tx) * stride;
  const y = (place.row + place.ty) * stride;
  const w = anchorW * Math.exp(place.tw);
  const h = anchorH * Math.exp(place.th);
  return [x - w / 2, y - h / 2, x + w / 2, y + h / 2];
}

/** The largest difference between the sides of two boxes. */
const distance = (first, second) => Math.max(...first.map((side, index) => Math.abs(side - second[index])));

/** The anchor of a place, centred on its cell as the assignment does. */
function anchorBox(place) {
  const stride = data.strides[place.scale];
  const [w, h] = data.anchors[place.scale][place.anchor];
  const x = (place.column + 0.5) * stride;
  const y = (place.row + 0.5) * stride;
  return [x - w / 2, y - h / 2, x + w / 2, y + h / 2];
}

/** The places of one scale by cell, 'row,column'. */
function placesByCell(image, scale) {
  const cells = new Map();
  for (const place of unpack(image).places) {
    if (place.scale !== scale) continue;
    const key = `${place.row},${place.column}`;
    if (!cells.has(key)) cells.set(key, []);
    cells.get(key).push(place);
  }
  return cells;
}

/** The scale of a box's best anchor; of its overwritten ones where no anchor is assigned to it. */
function owningScale(box) {
  const assigned = box.places.filter((place) => place.takenBy < 0);
  const ranked = [...(assigned.length ? assigned : box.places)].sort((a, b) => b.iou - a.iou);
  return ranked.length ? ranked[0].scale : 0;
}

/** The boxes to be ignored that cover a point. */
const ignoredAt = (image, x, y) => image.ignored.filter(({ xyxy: [x1, y1, x2, y2] }) => x >= x1 && x < x2 && y >= y1 && y < y2);
const ignoredClass = (box) => (box.classId < 0 ? 'any class' : data.classes[box.classId]);
const isUnassigned = (box) => box.places.every((place) => place.takenBy >= 0);
const stemOf = (path) => path.split('/').pop().replace(/\.[^.]*$/, '');

/** An image by path (or by the stem of its file, as people type it), or null. */
function findImage(path, split) {
  const inSplit = listed.filter((image) => !split || image.split === split);
  return inSplit.find((image) => image.path === path) || inSplit.find((image) => stemOf(image.path) === path) || null;
}
