"""Pages as a browser sees them: Chromium without a window."""

import html
import json
import os
import re
import shutil
import subprocess
import tempfile
from pathlib import Path

NAMES = ('chromium', 'chromium-browser', 'google-chrome', 'google-chrome-stable')
TIMEOUT = 120  # seconds

# Each page in a frame of its own width: a window of the browser is never as narrow as a phone. The
# frames are measured when all are loaded, and the result stands in the page that is dumped.
_FRAMES = '''<!DOCTYPE html><body>{frames}<script>
addEventListener('load', () => {{
  const measure = {measure};
  const found = [...document.querySelectorAll('iframe')].map(
    (frame) => measure(frame.contentDocument, frame.contentWindow));
  const result = document.createElement('pre');
  result.id = 'found';
  result.textContent = JSON.stringify(found);
  document.body.append(result);
}});
</script></body>'''
_FOUND = re.compile(r'<pre id="found">(.*?)</pre>', re.DOTALL)


def browser() -> str:
    """The browser's program: as the variable CHROMIUM says, or one that is installed."""
    candidates = [os.environ['CHROMIUM']] if os.environ.get('CHROMIUM') else NAMES
    found = next(filter(None, map(shutil.which, candidates)), None)
    assert found, ('no browser: install chromium (apt-get install chromium), or name one in the '
                   f'variable CHROMIUM; looked for {", ".join(candidates)}')
    return found


def measure_page(page: Path, widths: list[int], measure: str) -> tuple[list, list[str]]:
    """Opens a page at several widths and measures it.

    Args:
        page: An HTML file.
        widths: Pixels.
        measure: A JavaScript function of document and window that gives plain data.

    Returns:
        What the function gave, for each width, and what the browser wrote to its console: errors of
        scripts, whatever was refused or not found.
    """
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        frames = ''.join(f'<iframe src="{page.resolve().as_uri()}" '
                         f'style="width:{width}px;height:900px;border:0"></iframe>'
                         for width in widths)
        outer = Path(folder) / 'outer.html'
        outer.write_text(_FRAMES.format(frames=frames, measure=measure))
        done = subprocess.run(
            [browser(), '--headless=new', '--no-sandbox', '--disable-gpu', '--no-first-run',
             f'--user-data-dir={folder}/profile', '--allow-file-access-from-files',
             '--enable-logging=stderr', '--v=0', '--window-size=1600,1000',
             '--host-resolver-rules=MAP * ~NOTFOUND', '--virtual-time-budget=10000',
             '--dump-dom', outer.as_uri()],
            capture_output=True, text=True, timeout=TIMEOUT)
    assert done.returncode == 0, done.stderr
    found = _FOUND.search(done.stdout)
    assert found, f'the page was not measured: {done.stderr}'
    console = [line for line in done.stderr.splitlines() if ':CONSOLE' in line]
    return json.loads(html.unescape(found[1])), console
