"""Takes the image of the page for docs/search_page.md, from a page that is being served.

make demo                                                       # in another terminal
python tests/tools/take_demo_image.py http://127.0.0.1:7860 nbs/images/demo.jpg
"""

import sys

from look_at_lab import open_browser

QUERY = "ships in a port"


def take(address: str, file: str) -> None:
    """Asks the first tab a question and stores what is seen, as JPEG."""
    with open_browser() as browser:
        page = browser.new_page(viewport={"width": 1200, "height": 752}, color_scheme="light")
        page.goto(address)
        page.get_by_label("What to look for, in words").fill(QUERY)
        page.get_by_role("button", name="Search").click()
        page.locator("#text-results [role=status]", has_text=QUERY).wait_for()
        page.mouse.move(0, 0)
        page.wait_for_timeout(500)  # transitions end
        page.screenshot(path=file, type="jpeg", quality=72)


if __name__ == "__main__":
    take(*sys.argv[1:])
