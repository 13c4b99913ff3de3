
'use strict';

// A read-out: the values at the step below the pointer.
for (const chart of document.querySelectorAll('.chart[data-readout]')) {
  const card = chart.closest('figure');
  const at = card.querySelector('[data-at]');
  const values = card.querySelectorAll('[data-series]');
  const cursor = document.createElementNS('http://www.w3.org/2000/svg', 'path');
  cursor.setAttribute('class', 'cursor');
  chart.append(cursor);
  let series = null;
  const show = (event) => {
    series = series || JSON.parse(chart.dataset.readout);
    const box = chart.getBoundingClientRect();
    const x = (event.clientX - box.left) / box.width * chart.viewBox.baseVal.width;
    const nearest = series.map(({points}) => points.reduce(
      (best, point) => best && Math.abs(best[1] - x) <= Math.abs(point[1] - x) ? best : point, null));
    const first = nearest.find((point) => point);
    if (!first) return;
    cursor.setAttribute('d', `M${first[1]} 12V${chart.viewBox.baseVal.height - 34}`);
    at.textContent = `at step ${first[0]}`;
    nearest.forEach((point, number) => {
      values[number].textContent = point && point[0] === first[0] ? point[2] : '–';
    });
  };
  const hide = () => {
    cursor.removeAttribute('d');
    at.textContent = '';
    values.forEach((value) => { value.textContent = value.dataset.last; });
  };
  chart.addEventListener('pointermove', show);
  chart.addEventListener('pointerdown', show);
  chart.addEventListener('pointerleave', hide);
}

// How old the page is, and, while the run goes on, the newest one by itself.
const age = document.getElementById('age');
const tellAge = () => {
  const minutes = Math.floor((Date.now() / 1000 - age.dataset.written) / 60);
  if (minutes < 1) return;
  const text = minutes < 120 ? `${minutes} min` : `${Math.floor(minutes / 60)} hours`;
  age.textContent = `, ${text} ago`;
  if (age.dataset.state === 'running' && minutes >= 60) {
    age.textContent += ' (a running training writes it more often: reload, or look whether it still runs)';
  }
};
tellAge();
setInterval(tellAge, 30000);
const follow = document.getElementById('follow');
if (follow) {
  follow.checked = location.hash === '#follow';
  follow.addEventListener('change', () => {
    history.replaceState(null, '', follow.checked ? '#follow' : location.pathname);
  });
  setInterval(() => { if (follow.checked && !document.hidden) location.reload(); }, 30000);
}

for (const button of document.querySelectorAll('[data-copy]')) {
  button.addEventListener('click', async () => {
    const source = document.getElementById(button.dataset.copy);
    try {
      await navigator.clipboard.writeText(source.textContent);
      button.textContent = 'copied';
    } catch {
      getSelection().selectAllChildren(source);
      button.textContent = 'selected: copy it with Ctrl-C';
    }
  });
}

// Paper cannot be unfolded.
addEventListener('beforeprint', () => {
  document.querySelectorAll('details').forEach((part) => { part.open = true; });
});
