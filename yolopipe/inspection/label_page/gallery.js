// The gallery and the problems: filters, sorting, tiles, hits.

const PAGE_OF_TILES = 60;
const HITS_AT_ONCE = 50;

/** An element with properties, attributes (names with a dash, aria, data) and children; text is always text. */
function make(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name.includes('-') || name === 'role') element.setAttribute(name, value);
    else element[name] = value;
  }
  element.append(...children);
  return element;
}

const SORTS = {
  problems: (a, b) => b.weight - a.weight,
  boxes: (a, b) => b.boxes - a.boxes,
  smallest: (a, b) => (a.boxes ? a.smallest : Infinity) - (b.boxes ? b.smallest : Infinity) || 0,
  ignored: (a, b) => b.ignored.length - a.ignored.length,
  name: (a, b) => (a.path < b.path ? -1 : Number(a.path > b.path)),
};

/** The images that match the filters, in order. */
function filtered(state) {
  const words = state.q.toLowerCase();
  const classId = data.classes.indexOf(state.class);
  const chosen = listed.filter(
    (image) =>
      (!state.split || image.split === state.split) &&
      (!state.class || image.classes.includes(classId)) &&
      (!state.rule || (state.rule === 'any' ? image.rules.size > 0 : image.rules.has(state.rule))) &&
      (!words || image.path.toLowerCase().includes(words)),
  );
  const compare = SORTS[state.sort] || SORTS.problems;
  return chosen.sort((a, b) => compare(a, b) || a.index - b.index);
}

let shown = [];
let tilesShown = 0;

/** Fill the gallery. */
function renderGallery(state) {
  shown = filtered(state);
  tilesShown = 0;
  byId('tiles').replaceChildren();
  showMoreTiles();
  const all = shown.length === listed.length;
  byId('gallery-count').textContent = all ? count(shown.length, 'image') : `${number(shown.length)} of ${count(listed.length, 'image')}`;
  if (!shown.length) byId('tiles').append(make('li', { className: 'empty' }, 'No image matches these filters.'));
}

function showMoreTiles() {
  const next = shown.slice(tilesShown, tilesShown + PAGE_OF_TILES);
  byId('tiles').append(...next.map(tile));
  tilesShown += next.length;
  const left = shown.length - tilesShown;
  byId('more').hidden = left === 0;
  byId('more').textContent = `Show ${Math.min(PAGE_OF_TILES, left)} more of ${number(left)}`;
}

function tile(image) {
  const link = make('a', { href: `#${imageHash(image)}`, className: 'tile', title: image.path });
  link.dataset.index = image.index;
  const marks = make('span', { className: 'tile-marks' });
  for (const severity of ['error', 'warning']) {
    const found = image.hits.filter((hit) => hit.severity === severity).length;
    if (found) marks.append(make('span', { className: `badge ${severity}` }, `${severity === 'error' ? '✕' : '▲'} ${found}`));
  }
  const boxes = image.boxes || !image.ignored.length ? ` · ${image.boxes ? count(image.boxes, 'box') : 'no boxes'}` : '';
  const facts = `${image.split}${boxes}${ignoredCount(image)}`;
  link.append(smallStage(image), make('b', {}, nameOf(image.path)), make('span', { className: 'tile-facts' }, facts), marks);
  return make('li', {}, link);
}

/** A picture with its boxes drawn over it, as large as a thumbnail. */
function smallStage(image) {
  const frame = make('span', { className: image.picture < 0 ? 'frame no-picture' : 'frame' });
  if (image.picture >= 0) frame.append(make('img', { src: pictureOf(image), alt: '', loading: 'lazy', decoding: 'async' }));
  const canvas = make('canvas', { width: 320, height: 320, 'aria-hidden': 'true' });
  drawIgnored(canvas.getContext('2d'), image.ignored, 320 / data.size, 1.5);
  drawBoxes(canvas.getContext('2d'), image, 320 / data.size, { width: 2 });
  frame.append(canvas);
  return frame;
}

const number = (value) => value.toLocaleString('en-GB');
const count = (value, noun) => `${number(value)} ${value === 1 ? noun : noun === 'box' ? 'boxes' : `${noun}s`}`;
const ignoredCount = (image) => (image.ignored.length ? ` · ${number(image.ignored.length)} ignored` : '');
const nameOf = (path) => path.split('/').pop() || path;

/** Fill a rule's list of places, some at a time. */
function renderHits(details) {
  const list = details.querySelector('ol');
  const check = checks.find((candidate) => candidate.rule === details.dataset.rule);
  const next = check.hits.slice(list.children.length, list.children.length + HITS_AT_ONCE);
  list.append(...next.map(hitItem));
  details.querySelector('.more-hits')?.remove();
  const left = check.hits.length - list.children.length;
  if (left > 0) {
    const more = make('button', { type: 'button', className: 'more-hits' }, `Show ${Math.min(left, HITS_AT_ONCE)} more of ${number(left)}`);
    more.addEventListener('click', () => renderHits(details));
    details.append(more);
  }
}

function hitItem(hit) {
  const item = make('li', {}, imageLink(hit.image), make('span', { className: 'message' }, hit.message));
  if (hit.partner !== -1) item.append(make('span', { className: 'with' }, 'with '), imageLink(hit.partner));
  if (hit.place) item.append(copyable(hit.place));
  return item;
}

function imageLink(image) {
  if (typeof image !== 'number') return make('span', { className: 'absent', title: 'not on this page' }, image);
  const { path } = images[image];
  return make('a', { href: `#${imageHash(images[image])}`, title: path }, nameOf(path));
}

function copyable(text) {
  const button = make('button', { type: 'button', className: 'copy', 'aria-label': `Copy ${text}` }, 'copy');
  button.dataset.copy = text;
  return make('span', { className: 'place' }, make('code', {}, text), button);
}

/** The map of centres as the page was opened: all classes. */
const heatOfAll = { cells: [...byId('heat-cells').children].map((cell) => cell.getAttribute('fill-opacity')), note: byId('note-centres').textContent };

/** Recolour the map of centres for one class; '' is all classes. */
function renderHeat(choice) {
  const counts = data.heat[choice] || [];
  const highest = Math.max(1, ...counts);
  const boxes = counts.reduce((sum, value) => sum + value, 0);
  [...byId('heat-cells').children].forEach((cell, index) => {
    cell.setAttribute('fill-opacity', choice === '' ? heatOfAll.cells[index] : ((counts[index] || 0) / highest).toFixed(3));
  });
  const note = boxes ? `The darkest cell holds ${number(highest)} of ${count(boxes, 'box')}.` : 'No boxes.';
  byId('note-centres').textContent = choice === '' ? heatOfAll.note : note;
}

/** Fill the choices of the filters. */
function fillFilters() {
  const add = (id, values) => byId(id).append(...values.map((value) => make('option', { value }, value)));
  add('filter-split', data.splits);
  add('filter-class', data.classes);
  if (listed.some((image) => image.ignored.length)) byId('filter-sort').append(make('option', { value: 'ignored' }, 'most ignored'));
  add('filter-rule', checks.filter((check) => check.hits.length).map((check) => check.rule));
}
