// The state, which is kept in the address; keys and clicks; the start of the page.

const DEFAULTS = {
  q: '', split: '', class: '', rule: '', sort: 'problems',
  img: '', in: '', copy: 0, scale: 1, grid: false, boxes: true, names: true, ignored: true, partner: true,
};
const OF_GALLERY = ['q', 'split', 'class', 'rule', 'sort'];

let state = { ...DEFAULTS };
let lastFocus = null;
const viewer = makeViewer((changes) => go(changes));

/** The state in the address: what differs from the default, strides by their size. */
function hashOf(wanted) {
  const parts = new URLSearchParams();
  for (const [name, value] of Object.entries(wanted)) {
    if (value === DEFAULTS[name]) continue;
    const text = name === 'scale' ? data.strides[value] : typeof value === 'boolean' ? Number(value) : value;
    parts.set(name, text);
  }
  return parts.toString();
}

function stateOf(hash) {
  const parts = new URLSearchParams(hash.replace(/^#/, ''));
  const found = { ...DEFAULTS };
  for (const [name, value] of parts) {
    if (!Object.hasOwn(DEFAULTS, name)) continue;
    if (typeof DEFAULTS[name] === 'boolean') found[name] = value === '1';
    else if (typeof DEFAULTS[name] === 'number') found[name] = Number.parseInt(value, 10) || 0;
    else found[name] = value;
  }
  const scale = data.strides.indexOf(found.scale);
  if (parts.has('scale')) found.scale = scale < 0 ? DEFAULTS.scale : scale;
  if (parts.has('scale') && !parts.has('grid')) found.grid = true;
  return found;
}

const times = new Map();
for (const image of listed) times.set(image.path, (times.get(image.path) || 0) + 1);

/** Address of an image, with the filters of now. */
function imageHash(image) {
  return hashOf({ ...state, ...imageState(image) });
}

function imageState(image) {
  return { img: image.path, in: times.get(image.path) > 1 ? image.split : '', copy: image.copy };
}

/** Change the state: as a new step that Back undoes (``push``), or in place. */
function go(changes, { push = false } = {}) {
  const next = { ...state, ...changes };
  const hash = hashOf(next);
  const address = hash ? `#${hash}` : location.pathname + location.search;
  if (push) history.pushState(null, '', address);
  else history.replaceState(null, '', address);
  apply(next);
}

function apply(next) {
  const before = state;
  state = next;
  if (!tilesShown || OF_GALLERY.some((name) => before[name] !== next[name])) {
    renderGallery(next);
    renderFilters();
  }
  const source = next.img ? findImage(next.img, next.in) : null;
  const image = source && next.copy ? variantsOf(source.index).map((index) => images[index]).find((other) => other.copy === next.copy) || source : source;
  if (image) openViewer(image);
  else closeViewer();
  if (next.img && !source) toast(`${next.img} is not on this page.`);
}

function renderFilters() {
  for (const name of OF_GALLERY) byId(`filter-${name}`).value = state[name];
  for (const button of document.querySelectorAll('.show-rule')) {
    button.setAttribute('aria-pressed', String(button.dataset.rule === state.rule));
  }
}

function openViewer(image) {
  const wasHidden = byId('viewer').hidden;
  if (wasHidden) lastFocus = document.activeElement;
  byId('viewer').hidden = false;
  byId('page').inert = true;
  document.documentElement.classList.add('viewing');
  viewer.show(image, state);
  if (wasHidden) byId('viewer-title').focus({ preventScroll: true });
}

function closeViewer() {
  if (byId('viewer').hidden) return;
  byId('viewer').hidden = true;
  byId('page').inert = false;
  document.documentElement.classList.remove('viewing');
  viewer.clear();
  if (lastFocus?.isConnected) lastFocus.focus({ preventScroll: true });
}

/** Go to the image ``step`` places further in the gallery. */
function move(step) {
  const source = state.img ? findImage(state.img, state.in) : null;
  const place = source ? shown.indexOf(source) : -1;
  const next = source ? shown[place + step] : shown[0];
  if (next) go(imageState(next), { push: !source });
}

const leave = () => go({ img: '', in: '', copy: 0, grid: false, scale: DEFAULTS.scale }, { push: true });

function showRule(rule) {
  go({ rule, q: '', split: '', class: '', sort: 'problems' }, { push: true });
  byId('gallery').scrollIntoView();
}

let toastTimer = 0;

function toast(text) {
  byId('toast').textContent = text;
  clearTimeout(toastTimer);
  toastTimer = setTimeout(() => (byId('toast').textContent = ''), 2500);
}

async function copyText(text) {
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    const area = make('textarea', { value: text });
    (byId('viewer').hidden ? document.body : byId('viewer')).append(area);
    area.select();
    document.execCommand('copy');
    area.remove();
  }
  toast(text.includes('\n') ? 'Copied.' : `Copied ${text}`);
}

const KEYS = {
  j: () => move(1),
  k: () => move(-1),
  g: () => state.img && go({ grid: !state.grid }),
  b: () => state.img && go({ boxes: !state.boxes }),
  n: () => state.img && go({ names: !state.names }),
  i: () => state.img && go({ ignored: !state.ignored }),
  p: () => state.img && go({ partner: !state.partner }),
  '/': () => {
    if (state.img) leave();
    byId('filter-q').focus();
  },
  '?': () => byId('help-dialog').showModal(),
};
data.strides.forEach((_, scale) => (KEYS[scale + 1] = () => state.img && go({ grid: true, scale })));

function onKey(event) {
  if (event.ctrlKey || event.metaKey || event.altKey || byId('help-dialog').open) return;
  const typing = event.target.matches('input, select, textarea');
  if (event.key === 'Escape') {
    if (typing) event.target.blur();
    else if (state.img) leave();
    return;
  }
  if (typing || !Object.hasOwn(KEYS, event.key)) return;
  event.preventDefault();
  KEYS[event.key]();
}

function onClick(event) {
  const target = event.target.closest('[data-copy], [data-copy-link], [data-section], .show-rule, a[href^="#"]');
  if (!target) return;
  if (target.dataset.copy !== undefined) copyText(target.dataset.copy);
  else if (target.dataset.copyLink !== undefined) copyText(location.href);
  else if (target.classList.contains('show-rule')) showRule(target.dataset.rule);
  else if (target.dataset.section) byId(target.dataset.section).scrollIntoView();
  else if (!(event.ctrlKey || event.metaKey || event.shiftKey)) {
    const wanted = stateOf(target.getAttribute('href'));
    go({ img: wanted.img, in: wanted.in, copy: wanted.copy }, { push: true });
  } else return;
  event.preventDefault();
}

function listen() {
  document.addEventListener('keydown', onKey);
  document.addEventListener('click', onClick);
  window.addEventListener('popstate', () => apply(stateOf(location.hash)));
  window.addEventListener('resize', () => viewer.repaint());
  byId('filters').addEventListener('submit', (event) => event.preventDefault());
  byId('filters').addEventListener('reset', (event) => {
    event.preventDefault();
    go(Object.fromEntries(OF_GALLERY.map((name) => [name, DEFAULTS[name]])), { push: true });
  });
  for (const name of OF_GALLERY) {
    byId(`filter-${name}`).addEventListener(name === 'q' ? 'input' : 'change', (event) => go({ [name]: event.target.value }));
  }
  byId('more').addEventListener('click', showMoreTiles);
  for (const details of document.querySelectorAll('details.hits')) {
    details.addEventListener('toggle', () => details.open && !details.querySelector('li') && renderHits(details));
  }
  byId('heat-class').addEventListener('change', (event) => renderHeat(event.target.value));
  byId('help').addEventListener('click', () => byId('help-dialog').showModal());
  byId('close').addEventListener('click', leave);
  byId('previous').addEventListener('click', () => move(-1));
  byId('next').addEventListener('click', () => move(1));
  for (const name of ['boxes', 'names', 'ignored', 'grid', 'partner']) {
    byId(`toggle-${name}`).addEventListener('click', () => go({ [name]: !state[name] }));
  }
}

fillFilters();
listen();
apply(stateOf(location.hash));
