"""The README's pictures, docs/run-page-dark.png and run-page-light.png, from a saved run (`make screenshots`).

The page is served for the moment it takes and looked at with Chromium: the system's, or the one that Playwright has
installed. A picture is 1600 px wide and ends below the third row of figures.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import Error, sync_playwright

from reports.errors import StoreError
from reports.store.store import DEFAULT_ROOT, RunStore

DOCS = Path(__file__).resolve().parent
WIDTH_PX, HEIGHT_PX = 1600, 1000

DRAWN = """() => document.fonts.status === "loaded" && window.Plotly &&
  [...document.querySelectorAll(".figure")].every((figure) => {
    const plot = figure.matches(".js-plotly-plot") ? figure : figure.querySelector(".js-plotly-plot");
    return plot && plot._fullLayout && (plot.data.length || plot.layout.annotations);
  })"""

BOTTOM = """() => Math.ceil(document.querySelector("#run-flow").closest(".card").getBoundingClientRect().bottom) + 8"""


def main(argv: list[str]) -> int:
    """Write both pictures; 1 with one line on stderr where there is no such run or no Chromium, 2 on a wrong flag."""
    parser = argparse.ArgumentParser(description="Make the README's two pictures from a saved run.")
    parser.add_argument("run", nargs="?", default="latest", help="id of the run, its beginning, or latest (default)")
    parser.add_argument("--runs", type=Path, default=DEFAULT_ROOT, metavar="DIR", help="where the runs are")
    parser.add_argument("--output", type=Path, default=DOCS, metavar="DIR", help="where the pictures go")
    given = parser.parse_args(argv)
    try:
        run_id = RunStore(given.runs).resolve(given.run)
        with _page_of(given.runs) as address:
            for theme, picture in _looks(f"{address}/run/{run_id}"):
                path = given.output / f"run-page-{theme}.png"
                path.write_bytes(picture)
                print(f"{path}: {len(picture):,} bytes, run {run_id}")
    except (StoreError, OSError) as error:
        print(f"screenshots: {error}", file=sys.stderr)
        return 1
    except Error as error:
        print(f"screenshots: {error.message.splitlines()[0]}; `playwright install chromium` gets one", file=sys.stderr)
        return 1
    return 0


@contextmanager
def _page_of(runs: Path) -> Iterator[str]:
    """The page over ``runs`` on a free port, and its address."""
    command = [sys.executable, "-m", "dash_app", "--runs", str(runs), "--port", "0"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)  # noqa: S603 - this program, our own flags
    try:
        assert process.stdout is not None
        said = process.stdout.readline()
        if "http://" not in said:
            raise OSError("the page did not start")
        yield "http://" + said.split("http://")[1].split("/")[0]
    finally:
        process.terminate()
        process.wait()


def _looks(address: str) -> Iterator[tuple[str, bytes]]:
    """The page at ``address`` as a PNG in each theme."""
    found = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=found)
        try:
            for theme in ("dark", "light"):
                page = browser.new_page(viewport={"width": WIDTH_PX, "height": HEIGHT_PX}, color_scheme=theme)
                page.goto(address)
                page.wait_for_selector(".figure")
                page.wait_for_function(DRAWN)
                page.set_viewport_size({"width": WIDTH_PX, "height": page.evaluate(BOTTOM)})
                page.wait_for_timeout(800)  # graphs are drawn anew once their cards have found their height
                yield theme, page.screenshot()
                page.close()
        finally:
            browser.close()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
