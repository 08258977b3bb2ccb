// One image: boxes and grid on a canvas over the picture, the readout of a cell, and the other images of a pair.

const CLASS_COLOURS = ['#56b4e9', '#e69f00', '#00b386', '#f0e442', '#cc79a7', '#3f8fd6', '#ffffff'];
const TAKEN_COLOUR = '#ff5a36';
const IGNORED_COLOUR = '#b4b9be';
const HATCH_PX = 9;
const MOST_NAMED = 12; // boxes to be ignored; of more only the numbers are drawn
const colourOf = (classId) => CLASS_COLOURS[classId % CLASS_COLOURS.length];

/** A line that shows on light and dark pictures: dark below, colour above. */
function strokeBox(ctx, [x1, y1, x2, y2], zoom, colour, { width = 2, dash = [], halo = true } = {}) {
  ctx.setLineDash(dash);
  const place = [x1 * zoom, y1 * zoom, (x2 - x1) * zoom, (y2 - y1) * zoom];
  if (halo) {
    ctx.lineWidth = width + 2;
    ctx.strokeStyle = 'rgb(0 0 0 / 55%)';
    ctx.strokeRect(...place);
  }
  ctx.lineWidth = width;
  ctx.strokeStyle = colour;
  ctx.strokeRect(...place);
  ctx.setLineDash([]);
}

function drawBoxes(ctx, image, zoom, { width = 2, names = false, chosen = -1, ratio = 1 } = {}) {
  const { boxes } = unpack(image);
  for (const box of boxes) {
    const unassigned = isUnassigned(box);
    strokeBox(ctx, box.xyxy, zoom, unassigned ? TAKEN_COLOUR : colourOf(box.classId), {
      width: box.number === chosen ? 2 * width : width, dash: unassigned ? [6 * ratio, 4 * ratio] : [],
    });
  }
  if (names) for (const box of boxes) drawLabel(ctx, `${box.number} ${data.classes[box.classId]}`, box.xyxy, zoom, ratio, colourOf(box.classId));
}

/** Boxes to be ignored: diagonal lines within an outline, dark below so that they show on light pictures. */
function drawIgnored(ctx, boxes, zoom, ratio) {
  const step = HATCH_PX * ratio;
  for (const box of boxes) {
    const [left, top, right, bottom] = box.xyxy.map((side) => side * zoom);
    ctx.save();
    ctx.beginPath();
    ctx.rect(left, top, right - left, bottom - top);
    ctx.clip();
    ctx.beginPath();
    for (let sum = Math.ceil((left + top) / step) * step; sum < right + bottom; sum += step) {
      ctx.moveTo(sum - top, top);
      ctx.lineTo(sum - bottom, bottom);
    }
    for (const [width, colour] of [[3.5, 'rgb(0 0 0 / 55%)'], [1.5, IGNORED_COLOUR]]) {
      ctx.lineWidth = width * ratio;
      ctx.strokeStyle = colour;
      ctx.stroke();
    }
    ctx.restore();
    strokeBox(ctx, box.xyxy, zoom, IGNORED_COLOUR, { width: 1.5 * ratio });
  }
}

function drawLabel(ctx, text, [x1, y1], zoom, ratio, colour) {
  ctx.font = `600 ${11 * ratio}px system-ui, sans-serif`;
  const width = ctx.measureText(text).width + 6 * ratio;
  const height = 15 * ratio;
  const left = Math.max(0, Math.min(x1 * zoom, ctx.canvas.width - width));
  const top = Math.max(0, y1 * zoom - height);
  ctx.fillStyle = 'rgb(12 14 16 / 80%)';
  ctx.fillRect(left, top, width, height);
  ctx.fillStyle = colour;
  ctx.fillText(text, left + 3 * ratio, top + 11 * ratio);
}

function drawGrid(ctx, image, zoom, scale, { ratio = 1, pointed = '', ignored = [] } = {}) {
  const stride = data.strides[scale];
  ctx.fillStyle = 'rgb(8 10 12 / 45%)';
  ctx.fillRect(0, 0, ctx.canvas.width, ctx.canvas.height);
  ctx.fillStyle = 'rgb(255 255 255 / 22%)';
  for (let place = stride; place < data.size; place += stride) {
    ctx.fillRect(Math.round(place * zoom), 0, 1, ctx.canvas.height);
    ctx.fillRect(0, Math.round(place * zoom), ctx.canvas.width, 1);
  }
  drawIgnored(ctx, ignored, zoom, ratio);
  const cells = placesByCell(image, scale);
  const { boxes } = unpack(image);
  for (const [key, places] of cells) lightCell(ctx, places, zoom, stride, boxes, key === pointed, ratio);
  const assigned = new Set();
  for (const places of cells.values()) {
    for (const place of places) {
      if (place.takenBy >= 0) continue;
      assigned.add(place.box);
      strokeBox(ctx, anchorBox(place), zoom, colourOf(boxes[place.box].classId), { width: ratio, dash: [3 * ratio, 3 * ratio], halo: false });
    }
  }
  for (const box of assigned) strokeBox(ctx, boxes[box].xyxy, zoom, colourOf(boxes[box].classId), { width: 2 * ratio });
  for (const places of cells.values()) markCollision(ctx, places, zoom, stride, ratio);
  if (pointed) outlineCell(ctx, pointed, zoom, stride, ratio);
  if (cells.has(pointed)) drawPointed(ctx, cells.get(pointed), zoom, boxes, ratio);
}

function lightCell(ctx, places, zoom, stride, boxes, pointed, ratio) {
  const { row, column } = places[0];
  const owner = places.find((place) => place.takenBy < 0) || places[0];
  ctx.globalAlpha = pointed ? 0.75 : 0.42;
  ctx.fillStyle = places.some((place) => place.takenBy >= 0) ? TAKEN_COLOUR : colourOf(boxes[owner.box].classId);
  ctx.fillRect(column * stride * zoom, row * stride * zoom, stride * zoom, stride * zoom);
  ctx.globalAlpha = 1;
  if (places.some((place) => place.forced)) drawLabel(ctx, 'forced', [column * stride, row * stride], zoom, ratio, '#ffffff');
}

function markCollision(ctx, places, zoom, stride, ratio) {
  if (!places.some((place) => place.takenBy >= 0)) return;
  const { row, column } = places[0];
  const corners = [column * stride, row * stride, (column + 1) * stride, (row + 1) * stride];
  strokeBox(ctx, corners, zoom, TAKEN_COLOUR, { width: 2.5 * ratio });
}

function outlineCell(ctx, cell, zoom, stride, ratio) {
  const [row, column] = cell.split(',').map(Number);
  strokeBox(ctx, [column, row, column + 1, row + 1].map((side) => side * stride), zoom, '#ffffff', { width: 1.5 * ratio });
}

/** The boxes of the selected cell as stored and as decoded: one line if both agree. */
function drawPointed(ctx, places, zoom, boxes, ratio) {
  for (const place of places) {
    strokeBox(ctx, boxes[place.box].xyxy, zoom, '#ffffff', { width: 3 * ratio });
    strokeBox(ctx, decodePlace(place), zoom, colourOf(boxes[place.box].classId), { width: 1.5 * ratio, halo: false });
  }
}

/** The image and what else is drawn on it; a stage is a picture with a canvas above. */
function stage(image, state, pointed, chosen) {
  const figure = make('figure', { className: image.picture < 0 ? 'stage no-picture' : 'stage' });
  if (image.picture >= 0) figure.append(make('img', { src: pictureOf(image), alt: `${image.path}, copy ${image.copy}` }));
  const canvas = make('canvas', { role: 'img', 'aria-label': `Boxes of ${nameOf(image.path)}; the tables hold the same` });
  figure.append(canvas, make('figcaption', {}, captionOf(image)));
  figure.paint = (where, box) => paintStage(canvas, image, state, where, box);
  canvas.hidden = false;
  requestAnimationFrame(() => figure.paint(pointed, chosen));
  return figure;
}

function captionOf(image) {
  const copies = image.copy ? `, augmented copy ${image.copy}` : '';
  const enlarged = image.picture >= 0 && image.side < data.size ? ` · enlarged from ${image.side} px` : '';
  const none = image.picture < 0 ? ' · no picture on this page' : '';
  return `${image.split}: ${nameOf(image.path)}${copies}${enlarged}${none}`;
}

function paintStage(canvas, image, state, pointed, chosen) {
  const ratio = Math.min(3, window.devicePixelRatio || 1);
  const side = Math.max(1, Math.round(canvas.clientWidth * ratio));
  if (canvas.width !== side) canvas.width = canvas.height = side;
  const ctx = canvas.getContext('2d');
  ctx.clearRect(0, 0, side, side);
  const zoom = side / data.size;
  const ignored = state.ignored ? image.ignored : [];
  if (state.grid) drawGrid(ctx, image, zoom, state.scale, { ratio, pointed, ignored });
  else drawIgnored(ctx, ignored, zoom, ratio);
  if (state.boxes && !state.grid) drawBoxes(ctx, image, zoom, { width: 2 * ratio, chosen, ratio });
  if (!state.names) return;
  for (const box of ignored) {
    const name = ignored.length > MOST_NAMED ? '' : ` ignored: ${ignoredClass(box)}`;
    drawLabel(ctx, `${box.number}${name}`, box.xyxy, zoom, ratio, IGNORED_COLOUR);
  }
  if (!(state.boxes || state.grid)) return;
  const { boxes } = unpack(image);
  for (const box of boxes) {
    if (state.grid && !box.places.some((place) => place.scale === state.scale)) continue;
    drawLabel(ctx, `${box.number} ${data.classes[box.classId]}`, box.xyxy, zoom, ratio, isUnassigned(box) ? TAKEN_COLOUR : colourOf(box.classId));
  }
}

const px = (value) => (Math.abs(value) < 0.05 ? '0.0' : value.toFixed(1));
const corners = (xyxy) => xyxy.map(px).join(' ');
const code = (value) => (value < 0 ? '−' : '') + Math.abs(value).toFixed(3);
const indexText = (place) => `[${data.strides[place.scale]}, ${place.row}, ${place.column}, ${place.anchor}]`;

/** One target as text: its place, its codes, the decoded box and the stored box. */
function targetText(place, box) {
  const decoded = decodePlace(place);
  const off = distance(decoded, box.xyxy);
  return {
    where: indexText(place),
    codes: `tx ${code(place.tx)} ty ${code(place.ty)} tw ${code(place.tw)} th ${code(place.th)}`,
    decoded: corners(decoded),
    stored: corners(box.xyxy),
    off: `${off < 0.001 ? '< 0.001' : off.toFixed(3)} px`,
    state: [place.takenBy >= 0 ? `taken by box ${place.takenBy}` : 'assigned', place.forced ? 'forced' : '', place.rescued ? 'next anchor' : '']
      .filter(Boolean).join(', '),
  };
}

function renderReadout(image, scale, cell) {
  const stride = data.strides[scale];
  const places = placesByCell(image, scale).get(cell) || [];
  const [row, column] = cell.split(',').map(Number);
  const head = make('p', { className: 'readout-cell' }, `stride ${stride}, row ${row}, column ${column}`);
  if (!places.length) {
    const covering = ignoredAt(image, (column + 0.5) * stride, (row + 0.5) * stride);
    const what = covering.length ? `covered by box${covering.length > 1 ? 'es' : ''} ${covering.map((box) => box.number).join(', ')}, to be ignored` : 'background';
    return byId('readout').replaceChildren(head, make('p', {}, `No targets: ${what}.`));
  }
  const { boxes } = unpack(image);
  return byId('readout').replaceChildren(head, ...places.map((place) => targetBlock(place, boxes[place.box])));
}

function targetBlock(place, box) {
  const text = targetText(place, box);
  const [anchorW, anchorH] = data.anchors[place.scale][place.anchor];
  const taken = place.takenBy >= 0;
  const block = make('div', { className: taken ? 'target taken' : 'target' });
  block.append(
    make('p', { className: 'codes' }, make('b', {}, text.where), ` → ${text.codes}`),
    make('p', {}, `obj ${taken ? '–' : 1} class `, make('b', {}, data.classes[box.classId]), ` · anchor ${anchorW} × ${anchorH} px, IoU ${place.iou.toFixed(2)} · ${text.state}`),
    make('p', {}, 'decoded ', make('code', { className: 'decoded' }, text.decoded), make('br'), `box ${box.number}   `,
      make('code', { className: 'stored' }, text.stored), make('span', { className: 'off' }, ` off by ${text.off}`)),
  );
  return block;
}

function fillTable(table, columns, rows) {
  const head = make('thead', {}, make('tr', {}, ...columns.map((column) => make('th', { scope: 'col' }, column))));
  table.replaceChildren(head, make('tbody', {}, ...rows));
}

function boxRow(box, choose) {
  const [x1, y1, x2, y2] = box.xyxy;
  const strides = box.places.filter((place) => place.takenBy < 0).map((place) => data.strides[place.scale]);
  const assigned = [...new Set(strides)].join(', ') || 'none';
  const button = make('button', { type: 'button', title: 'Show the scale of its best anchor' }, String(box.number));
  button.addEventListener('click', () => choose(box));
  const name = make('td', {}, make('span', { className: `dot-class class${box.classId % CLASS_COLOURS.length}` }), data.classes[box.classId]);
  const row = make('tr', {}, make('td', {}, button), name, make('td', {}, `${px(x2 - x1)} × ${px(y2 - y1)}`), make('td', {}, assigned));
  if (isUnassigned(box)) row.className = 'unassigned';
  return row;
}

function ignoredRow(box) {
  const [x1, y1, x2, y2] = box.xyxy;
  const name = make('td', {}, make('span', { className: 'dot-class dot-ignored' }), ignoredClass(box));
  if (box.unlisted.length) name.append(make('br'), `list full: ${box.unlisted.join(', ')}`);
  const cells = [`${px(x2 - x1)} × ${px(y2 - y1)}`, copyable(box.place)].map((cell) => make('td', {}, cell));
  const row = make('tr', {}, make('td', {}, String(box.number)), name, ...cells);
  if (box.unlisted.length) row.className = 'unassigned';
  return row;
}

function targetRow(place, box, point) {
  const text = targetText(place, box);
  const button = make('button', { type: 'button' }, text.where);
  button.addEventListener('click', () => point(`${place.row},${place.column}`));
  const cells = [text.codes, data.classes[box.classId], text.decoded, text.stored, text.off, text.state];
  const row = make('tr', {}, make('td', {}, button), ...cells.map((cell) => make('td', {}, cell)));
  if (place.takenBy >= 0) row.className = 'taken';
  return row;
}

/** The image view; ``go`` changes the state, the view itself keeps only the selected cell and box. */
function makeViewer(go) {
  let image = null;
  let state = null;
  let figures = [];
  let pointed = '';
  let pinned = false;
  let chosen = -1;

  const repaint = () => figures.forEach((figure, index) => figure.paint(index ? '' : pointed, index ? -1 : chosen));

  function point(cell) {
    if (cell === pointed) return;
    pointed = cell;
    renderReadout(image, state.scale, cell);
    repaint();
  }

  function pin(cell) {
    pinned = false;
    point(cell);
    pinned = true;
  }

  function choose(box) {
    chosen = box.number;
    const scale = owningScale(box);
    const place = box.places.find((candidate) => candidate.scale === scale);
    go({ grid: true, scale });
    if (place) pin(`${place.row},${place.column}`);
  }

  const positionIn = (event) => {
    const frame = event.currentTarget.getBoundingClientRect();
    return [event.clientX - frame.left, event.clientY - frame.top].map((value) => (value / frame.width) * data.size);
  };

  const cellAt = (event) => {
    const last = data.size / data.strides[state.scale] - 1;
    const [column, row] = positionIn(event).map((value) => Math.min(last, Math.max(0, Math.floor(value / data.strides[state.scale]))));
    return `${row},${column}`;
  };

  function hover(event) {
    if (state.grid && !pinned) point(cellAt(event));
  }

  function press(event) {
    if (state.grid) {
      const cell = cellAt(event);
      if (pinned && cell === pointed) pinned = false;
      else pin(cell);
      return;
    }
    const [x, y] = positionIn(event);
    const area = ({ xyxy: [x1, y1, x2, y2] }) => (x2 - x1) * (y2 - y1);
    const under = unpack(image).boxes.filter(({ xyxy: [x1, y1, x2, y2] }) => x >= x1 && x < x2 && y >= y1 && y < y2);
    if (under.length) choose(under.sort((a, b) => area(a) - area(b))[0]);
  }

  function renderStages() {
    const partner = state.partner && image.partner >= 0 ? [images[image.partner]] : [];
    figures = [image, ...partner].map((shownImage) => stage(shownImage, state, pointed, chosen));
    const canvas = figures[0].querySelector('canvas');
    canvas.addEventListener('pointermove', hover);
    canvas.addEventListener('click', press);
    byId('stages').classList.toggle('pair', partner.length > 0);
    byId('stages').replaceChildren(...figures);
  }

  function renderVariants() {
    const source = sourceOf.has(image.index) ? sourceOf.get(image.index) : image.index;
    const all = [source, ...variantsOf(source)];
    byId('variants').hidden = all.length < 2;
    byId('variants').replaceChildren(...(all.length < 2 ? [] : all.map((index) => variantButton(images[index], image, go))));
  }

  function renderToggles() {
    const pressed = (id, value) => byId(id).setAttribute('aria-pressed', String(value));
    pressed('toggle-boxes', state.boxes);
    pressed('toggle-names', state.names);
    pressed('toggle-grid', state.grid);
    pressed('toggle-ignored', state.ignored);
    pressed('toggle-partner', state.partner);
    byId('toggle-ignored').hidden = !image.ignored.length;
    byId('toggle-partner').hidden = image.partner < 0;
    byId('toggle-boxes').disabled = state.grid;
    byId('scales').replaceChildren(...data.strides.map((stride, scale) => scaleButton(stride, scale, image, state, go)));
  }

  function renderLists() {
    const { boxes, places } = unpack(image);
    byId('box-list').querySelector('summary').textContent = count(boxes.length, 'box');
    fillTable(byId('box-list').querySelector('table'), ['box', 'class', 'w × h px', 'strides'], boxes.map((box) => boxRow(box, choose)));
    byId('ignored-list').hidden = !image.ignored.length;
    byId('ignored-list').querySelector('summary').textContent = `${count(image.ignored.length, 'box')} to be ignored`;
    fillTable(byId('ignored-list').querySelector('table'), ['box', 'class', 'w × h px', 'place'], image.ignored.map(ignoredRow));
    const inScale = places.filter((place) => place.scale === state.scale);
    byId('target-list').querySelector('summary').textContent = `${count(inScale.length, 'target')} at stride ${data.strides[state.scale]}`;
    const columns = ['stride, row, column, anchor', 'codes', 'class', 'decoded', 'stored', 'off by', ''];
    fillTable(byId('target-list').querySelector('table'), columns, inScale.map((place) => targetRow(place, boxes[place.box], pin)));
  }

  function renderTexts() {
    byId('viewer-title').replaceChildren(make('span', {}, image.path.slice(0, -nameOf(image.path).length)), nameOf(image.path));
    const copies = image.copy ? ` · augmented copy ${image.copy}` : '';
    const none = image.ignored.length ? 'no boxes' : 'no boxes: background only';
    const about = `${image.boxes ? count(image.boxes, 'box') : none}${ignoredCount(image)}`;
    byId('viewer-facts').textContent = `${image.split}${copies} · source ${image.width} × ${image.height} px · ${about}`;
    const hits = image.hits.map((hit) => {
      const mark = make('span', { className: `mark ${hit.severity}`, 'aria-label': hit.severity }, { error: '✕', warning: '▲', note: '●' }[hit.severity]);
      const line = make('p', { className: 'viewer-hit' }, mark, make('b', {}, hit.rule), ` ${hit.message} `);
      if (hit.partner !== -1) line.append('with ', imageLink(hit.image === image.index ? hit.partner : hit.image), ' ');
      if (hit.place) line.append(copyable(hit.place));
      return line;
    });
    byId('viewer-hits').replaceChildren(...hits);
    const place = shown.indexOf(images[sourceOf.get(image.index) ?? image.index]);
    byId('viewer-place').textContent = place < 0 ? '' : `${number(place + 1)} of ${number(shown.length)}`;
    const help = state.grid
      ? 'Point at a cell to see its targets; click to keep it selected.'
      : 'Click a box to see its cell and anchors.';
    if (pointed) renderReadout(image, state.scale, pointed);
    else byId('readout').replaceChildren(make('p', { className: 'hint' }, help));
    const parts = state.grid ? ['filled: cell with targets · dashed: anchor · solid: box · red: another box took the anchor'] : [];
    if (state.ignored && image.ignored.length) parts.push(make('span', { className: 'legend-ignored' }, make('span', { className: 'dot-class dot-ignored' }), 'hatched: to be ignored'));
    byId('legend').hidden = !parts.length;
    byId('legend').replaceChildren(...parts);
  }

  return {
    show(next, nextState) {
      const moved = next !== image || !state || nextState.scale !== state.scale || nextState.grid !== state.grid;
      if (next !== image) chosen = -1;
      [image, state] = [next, nextState];
      if (moved) [pointed, pinned] = ['', false];
      renderTexts();
      renderStages();
      renderVariants();
      renderToggles();
      renderLists();
    },
    clear() {
      image = null;
      figures = [];
      byId('stages').replaceChildren();
      byId('variants').replaceChildren();
    },
    repaint,
  };
}

function variantButton(image, current, go) {
  const name = image.copy ? `copy ${image.copy}` : 'source';
  const button = make('button', { type: 'button', className: 'variant', 'aria-pressed': String(image === current) });
  button.append(smallStage(image), make('span', {}, name));
  button.addEventListener('click', () => go({ copy: image.copy }));
  return button;
}

function scaleButton(stride, scale, image, state, go) {
  const grid = data.size / stride;
  const places = unpack(image).places.filter((place) => place.scale === scale);
  const taken = places.filter((place) => place.takenBy >= 0).length;
  const active = state.grid && scale === state.scale;
  const button = make('button', { type: 'button', 'aria-pressed': String(active) });
  const targets = make('small', {}, count(places.length - taken, 'target'));
  if (taken) targets.append(make('span', { className: 'taken-count' }, ` · ${taken} taken`));
  button.append(make('b', {}, String(stride)), ` ${grid} × ${grid} `, make('kbd', {}, String(scale + 1)), targets);
  button.addEventListener('click', () => go({ grid: true, scale }));
  return button;
}
