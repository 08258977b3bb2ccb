// The start of every page: its data, its elements, light or dark.

const readJson = (id) => JSON.parse(document.getElementById(id).textContent);
const byId = (id) => document.getElementById(id);

function setTheme(theme) {
  document.documentElement.dataset.theme = theme;
  byId('theme').setAttribute('aria-pressed', String(theme === 'dark'));
}

setTheme(matchMedia('(prefers-color-scheme: dark)').matches ? 'dark' : 'light');
byId('theme').addEventListener('click', () => setTheme(document.documentElement.dataset.theme === 'dark' ? 'light' : 'dark'));
