"""Fails unless a person can follow prompts on the page: headless Chromium against a server on which `prompt_loop.py` ran.

    prompts.py BASE_URL OUTPUT

Screenshots are left in the folder OUTPUT. Needs what `page.py` needs.
"""

import pathlib
import sys
import tempfile

from page import DESKTOP, PHONE, Page, check, shown


def templates(page):
    """What is in use, what was tried, and what was changed."""
    page.open("/prompts")
    rows = page.one("#templates").text
    check("the templates are listed", all(name in rows for name in ["answer", "procedure", "table"]), rows)
    experiments = page.one("#experiments").text
    check("experiments have their state", "promoted" in experiments and "retired" in experiments, experiments)
    changes = page.one("#changes").text
    check("the log says what was done", "promoted" in changes and "searching" in changes, changes)


def experiment(page):
    """The interval over time, and its figures."""
    page.open("/prompts")
    next(link for link in page.all("#experiments a") if link.text == "check figures").click()
    check("the experiment is promoted", page.one("#state").text == "promoted", page.one("#state").text)
    check("its interval is drawn over time", len(page.one(".plot .band").get_attribute("points").split()) > 3)
    page.one("details summary").click()
    check("the figures are told, too", len(page.all("details tbody tr")) > 1)


def prompt(page):
    """A prompt as a model would read it, versions with what differs, and one put into use and taken back."""
    page.open("/prompts/answer")
    page.one("#q").send_keys("How do I read the rate of the ledger, step by step?")
    page.one(".try button").click()
    rendered = page.one("#rendered").text
    check("the prompt is rendered", "<passage 1>" in rendered and "numbered steps" in rendered, rendered)
    versions = page.all("#versions li")
    check("all versions are there", len(versions) > 3, len(versions))
    page.one("#versions details summary").click()
    check("what differs is shown", page.all("#versions details[open] .added, #versions details[open] .removed"))
    check("ancestry is shown", any("from" in version.text for version in versions))
    check("the search shows what it tried", page.all("#pool tbody tr"))
    before = in_use(page)
    page.all("#versions form button")[0].click()
    page.until(lambda: in_use(page) not in {before, ""}, "another version to be in use")
    page.open("/prompts")
    page.one("#changes form button").click()
    page.until(lambda: in_use(page) == before, "the first version to be in use again")
    check("a change is taken back with one press", in_use(page) == before)


def in_use(page):
    """The version that the page says is in use."""
    # In one piece, since the page may be about to be replaced.
    return page.script("return document.querySelector('#versions li:has(.badge) code')?.textContent ?? ''")


def looks(page):
    """Nothing is cut off at a phone's width, in light and dark."""
    page.open("/prompts")
    first = page.one("#experiments a").get_attribute("href").removeprefix(page.base)
    for size, device in [(DESKTOP, "desktop"), (PHONE, "phone")]:
        page.resize(size)
        for scheme in ["light", "dark"]:
            page.scheme(scheme)
            for path, name in [("/prompts", "prompts"), ("/prompts/answer?q=What+is+it%3F", "prompt"), (first, "experiment")]:
                page.open(path)
                page.one("main")
                shown(page, f"{name}-{device}-{scheme}", size)


def main():
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    base, output = sys.argv[1].rstrip("/"), pathlib.Path(sys.argv[2])
    output.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as profile:
        page = Page(base, output, profile)
        try:
            templates(page)
            experiment(page)
            prompt(page)
            looks(page)
            complaints = page.complaints()
            check("the browser complained of nothing", not complaints, complaints)
        except Exception:
            page.picture("failure")
            raise
        finally:
            page.driver.quit()


if __name__ == "__main__":
    main()
