// The state of the page and what depends on it: counts, confusion matrix, gallery, one image enlarged.

const PAGE = 24;
const NAMES = [...data.classes, '(background)'];
const SVG = 'http://www.w3.org/2000/svg';
const ERRORS = ['true-positive', 'classification', 'duplicate', 'localization', 'both', 'background', 'ignored']; // ids, in the order of KINDS
const LOOKS = KINDS.map((_, kind) => ({ [TRUE_POSITIVE]: 'found', [IGNORED]: 'found ignored' })[kind] ?? 'found bad');
const state = { score: data.score, truth: true, found: true, only: 'all', cls: '', cell: null, sort: 'worst', shown: PAGE, open: -1 };
let verdicts = [];
let listed = [];

const number = (value) => value.toLocaleString('en');
const share = (part, whole) => (whole ? (part / whole).toFixed(3) : '–');

function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children);
  return element;
}

function makeSvg(tag, attributes) {
  const element = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  return element;
}

// ---- counts and confusion matrix at a score

function judgeAll() {
  verdicts = images.map((image) => judge(image, state.score));
  byId('score-value').textContent = state.score.toFixed(2);
  const total = KINDS.map(() => 0);
  let missed = 0;
  for (const verdict of verdicts) {
    missed += verdict.missed.length;
    verdict.counts.forEach((count, kind) => { total[kind] += count; });
  }
  const found = total.reduce((sum, count) => sum + count, 0) - total[IGNORED];
  const right = total[TRUE_POSITIVE];
  const boxes = images.reduce((sum, image) => sum + image.annotated.length, 0);
  const f1 = found + boxes ? (2 * right) / (found + boxes) : 0;
  byId('count-missed').textContent = number(missed);
  total.forEach((count, kind) => { byId(`count-${ERRORS[kind]}`).textContent = number(count); });
  byId('count-precision').textContent = share(right, found);
  byId('count-recall').textContent = share(right, boxes);
  byId('count-f1').textContent = found + boxes ? f1.toFixed(3) : '–';
  drawConfusion();
}

function drawConfusion() {
  const cells = new Map();
  for (const verdict of verdicts) {
    for (const [row, column] of verdict.cells) {
      const key = row * NAMES.length + column;
      cells.set(key, (cells.get(key) || 0) + 1);
    }
  }
  const most = Math.max(1, ...cells.values());
  const table = byId('confusion');
  const head = make('tr', {}, make('th', { scope: 'col' }, 'annotated ↓ predicted →'), ...NAMES.map((name) => make('th', { scope: 'col', title: name }, name)));
  const rows = NAMES.map((name, row) => {
    const line = make('tr', {}, make('th', { scope: 'row', title: name }, name));
    NAMES.forEach((other, column) => {
      const count = cells.get(row * NAMES.length + column) || 0;
      if (!count) { line.append(make('td', { class: 'none' }, row === BACKGROUND && column === BACKGROUND ? '' : '·')); return; }
      const level = Math.ceil(5 * Math.sqrt(count / most));
      const pressed = state.cell && state.cell[0] === row && state.cell[1] === column;
      const button = make('button', {
        type: 'button', 'data-row': row, 'data-column': column, 'aria-pressed': String(Boolean(pressed)),
        title: `${number(count)} annotated ${name}, predicted ${other}: show the images`, class: `level${level} ${row === column ? 'good' : 'bad'}`,
      }, number(count));
      line.append(make('td', {}, button));
    });
    return line;
  });
  table.replaceChildren(make('thead', {}, head), make('tbody', {}, ...rows));
}

// ---- gallery

const WANTED = {
  all: () => true,
  errors: (verdict) => verdict.errors > 0,
  missed: (verdict) => verdict.missed.length > 0,
};
ERRORS.forEach((name, kind) => { WANTED[name] = (verdict) => verdict.counts[kind] > 0; });

function wanted(verdict) {
  if (!WANTED[state.only](verdict)) return false;
  if (state.cell && !verdict.cells.some(([row, column]) => row === state.cell[0] && column === state.cell[1])) return false;
  if (state.cls === '') return true;
  const cls = Number(state.cls);
  const { annotated, ignored, detected } = verdict.image;
  return [annotated, ignored, detected.slice(0, verdict.kinds.length)].some((boxes) => boxes.some((box) => box.cls === cls));
}

function list() {
  listed = verdicts.filter(wanted);
  if (state.sort === 'worst') listed.sort((a, b) => b.errors - a.errors || a.image.index - b.image.index);
  else listed.sort((a, b) => (a.image.path < b.image.path ? -1 : Number(a.image.path > b.image.path)));
  const cell = byId('cell');
  cell.hidden = !state.cell;
  if (state.cell) cell.textContent = `annotated ${NAMES[state.cell[0]]}, predicted ${NAMES[state.cell[1]]} ✕`;
  byId('gallery-count').textContent = listed.length === images.length ? `${number(images.length)} images` : `${number(listed.length)} of ${number(images.length)} images`;
  byId('gallery-empty').hidden = listed.length > 0;
  const shown = listed.slice(0, state.shown);
  byId('gallery-tiles').replaceChildren(...shown.map(tile));
  byId('more').hidden = shown.length === listed.length;
  byId('more').textContent = `Show ${number(Math.min(PAGE, listed.length - shown.length))} more`;
}

function tags(verdict) {
  const parts = [];
  const add = (count, name) => { if (count) parts.push(`${count} ${name}`); };
  add(verdict.missed.length, 'missed');
  KINDS.forEach((name, kind) => { if (kind !== TRUE_POSITIVE && kind !== IGNORED) add(verdict.counts[kind], name); });
  if (!parts.length) parts.push('no errors');
  add(verdict.counts[IGNORED], KINDS[IGNORED]);
  return parts.join(' · ');
}

function tile(verdict, place) {
  const button = make('button', { type: 'button', class: 'shot', 'data-place': place });
  button.append(drawn(verdict, false), make('b', { title: verdict.image.path }, verdict.image.path.split('/').pop()), make('span', { class: verdict.errors ? 'wrong' : '' }, tags(verdict)));
  return button;
}

/** A picture with its boxes as SVG on top; names in the enlarged view only. */
function drawn(verdict, named) {
  const frame = make('span', { class: 'frame' });
  if (verdict.image.picture >= 0) frame.append(make('img', { alt: '', src: `data:image/jpeg;base64,${pictures[verdict.image.picture]}` }));
  const svg = makeSvg('svg', { viewBox: `0 0 ${data.size} ${data.size}` });
  const missed = new Set(verdict.missed);
  if (state.truth) verdict.image.ignored.forEach((box) => addBox(svg, box, 'region', `${NAMES[box.cls] ?? 'any class'}, ignored`, named));
  if (state.truth) verdict.image.annotated.forEach((box, n) => addBox(svg, box, missed.has(n) ? 'truth missed' : 'truth', `${NAMES[box.cls]}${missed.has(n) ? ', missed' : ''}`, named && missed.has(n)));
  if (state.found) verdict.kinds.forEach((kind, n) => {
    const box = verdict.image.detected[n];
    addBox(svg, box, LOOKS[kind], `${NAMES[box.cls]} ${box.score.toFixed(2)}, ${KINDS[kind]}`, named);
  });
  frame.append(svg);
  return frame;
}

function addBox(svg, box, kind, text, named) {
  const place = { x: box.x1, y: box.y1, width: Math.max(0, box.x2 - box.x1), height: Math.max(0, box.y2 - box.y1) };
  if (/ignored|region/.test(kind)) svg.append(makeSvg('rect', { ...place, class: 'rim' })); // grey needs it on a light picture
  const rect = makeSvg('rect', { ...place, class: kind });
  const title = makeSvg('title', {});
  title.textContent = text;
  rect.append(title);
  svg.append(rect);
  if (!named) return;
  const size = data.size / 42;
  const above = box.y1 > size ? box.y1 - size / 4 : box.y2 + size;
  const atEnd = box.x1 > 0.7 * data.size; // the text would leave the picture
  const label = makeSvg('text', {
    x: atEnd ? box.x2 : box.x1, y: kind === 'region' ? box.y2 - size / 4 : above, 'text-anchor': atEnd ? 'end' : 'start', 'font-size': size, class: kind,
  });
  label.textContent = text;
  svg.append(label);
}

// ---- one image, enlarged

function openImage(place) {
  state.open = place;
  const verdict = listed[place];
  byId('image-title').textContent = verdict.image.path;
  byId('image-place').textContent = `${number(place + 1)} of ${number(listed.length)}`;
  byId('image-tags').textContent = tags(verdict);
  byId('image-picture').replaceChildren(drawn(verdict, true));
  byId('image-previous').disabled = place === 0;
  byId('image-next').disabled = place === listed.length - 1;
  if (!byId('image').open) byId('image').showModal();
}

function move(step) {
  const place = state.open + step;
  if (place >= 0 && place < listed.length) openImage(place);
}

// ---- the table of classes

function sortClasses(header) {
  const body = byId('classes').tBodies[0];
  const column = header.cellIndex;
  const down = header.getAttribute('aria-sort') !== 'descending';
  const key = (row) => row.cells[column].dataset.value;
  const rows = [...body.rows].sort((a, b) => {
    const [x, y] = [key(a), key(b)];
    if (column === 0) return x < y ? -1 : Number(x > y);
    if (x === '' || y === '') return Number(x === '') - Number(y === '');
    return down ? y - x : x - y;
  });
  if (column === 0 && down) rows.reverse();
  for (const other of header.parentElement.cells) other.removeAttribute('aria-sort');
  header.setAttribute('aria-sort', down ? 'descending' : 'ascending');
  body.append(...rows);
}

function showCurve(cls) {
  byId('curve-class').value = cls;
  for (const curve of document.querySelectorAll('.of-class')) curve.classList.toggle('on', curve.dataset.class === cls);
}

// ---- events

function change(changes) {
  Object.assign(state, changes, { shown: PAGE });
  if ('score' in changes || 'cell' in changes) judgeAll();
  list();
}

byId('score').addEventListener('input', (event) => change({ score: Number(event.target.value) }));
for (const name of ['truth', 'found']) {
  byId(`toggle-${name}`).addEventListener('click', (event) => {
    state[name] = !state[name];
    event.currentTarget.setAttribute('aria-pressed', String(state[name]));
    list();
  });
}
byId('only').addEventListener('change', (event) => change({ only: event.target.value }));
byId('of-class').addEventListener('change', (event) => change({ cls: event.target.value }));
byId('sort').addEventListener('change', (event) => change({ sort: event.target.value }));
byId('cell').addEventListener('click', () => { change({ cell: null }); byId('gallery-title').focus(); });
byId('more').addEventListener('click', () => { state.shown += PAGE; list(); });
byId('confusion').addEventListener('click', (event) => {
  const button = event.target.closest('button');
  if (!button) return;
  const cell = [Number(button.dataset.row), Number(button.dataset.column)];
  const again = button.getAttribute('aria-pressed') === 'true';
  change({ cell: again ? null : cell });
  if (!again) byId('gallery').scrollIntoView();
});
byId('gallery-tiles').addEventListener('click', (event) => {
  const button = event.target.closest('.shot');
  if (button) openImage(Number(button.dataset.place));
});
byId('image-close').addEventListener('click', () => byId('image').close());
byId('image-previous').addEventListener('click', () => move(-1));
byId('image-next').addEventListener('click', () => move(1));
byId('image').addEventListener('keydown', (event) => {
  if (event.key === 'ArrowLeft') move(-1);
  if (event.key === 'ArrowRight') move(1);
});
byId('image').addEventListener('close', () => document.querySelector(`.shot[data-place="${state.open}"]`)?.focus());
byId('classes').tHead.addEventListener('click', (event) => {
  const header = event.target.closest('th');
  if (header) sortClasses(header);
});
byId('classes').tBodies[0].addEventListener('click', (event) => {
  const row = event.target.closest('button[data-class]');
  if (!row) return;
  showCurve(row.dataset.class);
  byId('chart-precision-recall').scrollIntoView({ block: 'center' });
});
byId('curve-class').addEventListener('change', (event) => showCurve(event.target.value));

judgeAll();
list();
