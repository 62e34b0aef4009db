"""Fails unless a person can use the page: headless Chromium against a running server that has documents.

    page.py BASE_URL QUESTION OUTPUT

QUESTION is one that the documents answer; screenshots are left in the folder OUTPUT. Needs the PyPI package
`selenium`, Chromium and ChromeDriver.
"""

import base64
import json
import pathlib
import shutil
import sys
import tempfile
import urllib.request

from selenium import webdriver
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import WebDriverWait

FLAGS = [
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--hide-scrollbars",
]
PATIENCE_SECONDS = 30
DESKTOP, PHONE = (1280, 900), (390, 844)
NOTES = "# Lighthouse notes\n\nThe lamp of the Quillbeck lighthouse is wound by hand every seven hours.\n"
NOTES_QUESTION = "How often is the lamp of the Quillbeck lighthouse wound by hand?"

# Collects how long the answer's text was, each time that it changed.
WATCH = """
window.lengths = [];
new MutationObserver(() => {
  const text = document.querySelector("#answer-text");
  if (text) window.lengths.push(text.textContent.length);
}).observe(document.querySelector("#result"), { childList: true, subtree: true, characterData: true });
"""


def check(what, holds, shown=""):
    """Says that `what` holds, or stops with what was found instead."""
    if not holds:
        raise AssertionError(f"{what}: NO, found {shown!r}")
    print(f"page: {what}: yes")


class Page:
    """A browser at the server's page."""

    def __init__(self, base, output, profile):
        options = webdriver.ChromeOptions()
        options.binary_location = shutil.which("chromium") or shutil.which("google-chrome")
        for flag in [*FLAGS, f"--user-data-dir={profile}"]:
            options.add_argument(flag)
        options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
        service = webdriver.ChromeService(executable_path=shutil.which("chromedriver"))
        self.driver = webdriver.Chrome(options=options, service=service)
        self.base, self.output = base, output
        self.resize(DESKTOP)
        self.scheme("light")

    def open(self, path):
        self.driver.get(self.base + path)

    def all(self, selector):
        return self.driver.find_elements(By.CSS_SELECTOR, selector)

    def one(self, selector):
        """The first such element, once it is there."""
        return self.until(lambda: self.all(selector), selector)[0]

    def until(self, condition, what):
        message = f"nothing came of waiting for: {what}"
        return WebDriverWait(self.driver, PATIENCE_SECONDS, poll_frequency=0.05).until(lambda _: condition(), message)

    def script(self, text, *arguments):
        return self.driver.execute_script(text, *arguments)

    def press(self, *keys):
        ActionChains(self.driver).send_keys(*keys).perform()

    def focused(self, selector):
        """Whether the element with the focus is such a one."""
        return self.script("return document.activeElement.matches(arguments[0])", selector)

    def pressed(self, selector):
        button = self.one(selector)
        return button.get_attribute("aria-pressed") == "true"

    def tab_to(self, selector):
        """Reaches an element as people without a mouse do."""
        for _ in range(60):
            self.press(Keys.TAB)
            if self.focused(selector):
                return
        raise AssertionError(f"the Tab key does not lead to {selector}")

    def resize(self, size):
        width, height = size
        metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600}
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)

    def scheme(self, name):
        features = [
            {"name": "prefers-color-scheme", "value": name},
            {"name": "prefers-reduced-motion", "value": "reduce"},
        ]
        self.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})

    def picture(self, name, whole=True):
        """A screenshot of the whole page, or of what is in view."""
        shot = self.driver.execute_cdp_cmd("Page.captureScreenshot", {"captureBeyondViewport": whole})
        (self.output / f"{name}.png").write_bytes(base64.b64decode(shot["data"]))

    def complaints(self):
        """What the browser complained of since the last time."""
        return [entry for entry in self.driver.get_log("browser") if entry["level"] in ("SEVERE", "WARNING")]

    def ask(self, question):
        """Asks by keyboard, and returns the answer's id once all of it is there."""
        self.script("document.querySelector('#answer')?.remove()")
        box = self.one("#question")
        box.clear()
        box.send_keys(question, Keys.ENTER)
        return self.one("#answer[data-id]").get_attribute("data-id")

    def decision(self, answer):
        """What the API says of an answer."""
        with urllib.request.urlopen(f"{self.base}/v1/decisions/{answer}", timeout=30) as response:
            return json.load(response)


def ask_and_judge(page, question):
    """An answer streams in, its citation opens the passage, and judgements are kept."""
    page.open("/")
    check("the question has the focus", page.focused("#question"))
    page.script(WATCH)
    answer = page.ask(question)
    lengths = [length for length in page.script("return window.lengths") if length]
    check("the answer grew as it came", len(set(lengths)) > 3 and lengths == sorted(lengths), lengths)
    check("it can be linked to", "q=" in page.driver.current_url, page.driver.current_url)

    page.one("#answer .cite").click()
    quote = page.one("dialog.panel mark").text
    text = page.one("#answer .text").text
    check("the citation opens the passage with the quote marked", quote and quote in text, (quote, text))
    page.picture("passage-desktop", whole=False)
    holds = "dialog.panel [data-holds]"
    chunk = int(page.one(holds).get_attribute("data-holds"))
    page.one(holds).click()
    page.until(lambda: page.pressed(holds), "the passage's button to be pressed")
    page.press(Keys.ESCAPE)
    page.until(lambda: not page.all("dialog.panel"), "the passage to close")

    page.one("#answer [data-thumb=up]").click()
    page.until(lambda: page.pressed("#answer [data-thumb=up]"), "the thumb to be pressed")
    check("the page says that it is saved", page.one("#answer .saved").is_displayed())
    said = [{name: value for name, value in outcome.items() if name != "at"} for outcome in reports(page, answer)]
    expected = [{"chunk": chunk, "correct": True}, {"thumb": "up"}]
    check("both judgements are in the decision", said == expected, said)

    page.one(".planned summary").click()
    check("what was planned is shown", page.one(".planned tr.chosen").is_displayed())
    check("each passage has a score", len(page.all(".passage .score .bar")) == len(page.all(".passage")) > 0)
    page.open(f"/decisions/{answer}")
    check("the decision has a page", len(page.all(".outcomes li")) == 3)
    page.open("/learning")
    check("what was learned is shown", page.one("svg.plot .dot").is_displayed())


def reports(page, answer):
    """What people said, without the engine's own signal."""
    return [outcome for outcome in page.decision(answer)["outcomes"] if "supported" not in outcome]


def keyboard_only(page, question):
    """Everything can be reached and done without a mouse."""
    page.open("/")
    page.press(question, Keys.ENTER)
    answer = page.one("#answer[data-id]").get_attribute("data-id")
    page.tab_to(".cite")
    page.press(Keys.ENTER)
    page.one("dialog.panel[open]")
    check("the focus is in the opened passage", page.script("return !!document.activeElement.closest('dialog')"))
    page.press(Keys.ESCAPE)
    page.until(lambda: not page.all("dialog.panel"), "the passage to close")
    check("the focus is back at the citation", page.focused(".cite"))
    page.tab_to("[data-thumb=down]")
    page.press(Keys.SPACE)
    page.until(lambda: page.pressed("#answer [data-thumb=down]"), "the thumb to be pressed")
    said = [outcome["thumb"] for outcome in reports(page, answer)]
    check("feedback can be given by keyboard", said == ["down"], said)
    page.one("#question").send_keys(Keys.SHIFT, Keys.ENTER)
    check("Shift and Enter begin a new line", page.one("#question").get_attribute("value").endswith("\n"))


def documents(page, folder):
    """A document is uploaded, asked about and removed; what can't be read is refused with its reason."""
    notes, broken = folder / "lighthouse.md", folder / "broken.docx"
    notes.write_text(NOTES, encoding="utf-8")
    broken.write_bytes(b"PK\x03\x04 this is no archive")
    page.open("/documents")
    page.one("#files").send_keys(f"{notes}\n{broken}")
    finished = "#uploads li[data-finished]"
    page.until(lambda: len(page.all(finished)) == 2, "both uploads to finish")
    rows = [row.text for row in page.all(finished)]
    check("an upload is stored", "Stored" in rows[0], rows)
    check("what cannot be read is refused with its reason", "Refused:" in rows[1], rows)

    page.open("/")
    page.ask(NOTES_QUESTION)
    check("the upload is answered from", "seven hours" in page.one("#answer .text").text, page.one("#answer").text)
    page.one("#answer .cite").click()
    page.one("dialog.panel a[href*='#chunk-']").click()
    page.one(".chunk:target")
    check("the passage leads to its place in the document", "Quillbeck" in page.one(".chunk:target").text)

    last_page(page)
    remove = "[data-remove][data-title='Lighthouse notes']"
    page.one(remove).click()
    page.one("#removal button[value=keep]").click()
    page.until(lambda: not page.all("#removal[open]"), "the question to close")
    check("a document is kept unless it is confirmed", page.all(remove))
    page.one(remove).click()
    page.one("#removal button[value=remove]").click()
    page.until(lambda: not page.all(remove), "the document to go")
    check("a confirmed removal removes", not page.all(remove))


def last_page(page):
    """Where the newest document is listed."""
    page.open("/documents")
    while following := page.all("a[rel=next]"):
        page.open(following[0].get_attribute("href").removeprefix(page.base))


def states(page):
    """Nothing found, and an error, are said in words."""
    page.resize(DESKTOP)
    page.scheme("light")
    page.open("/")
    page.ask("zyzzyva quokka bathyscaphe marmalade")
    check("that nothing was found is said", page.one("#answer .text").text.strip())
    page.picture("nothing-desktop")
    page.script("document.querySelector('#model').add(new Option('x', 'no-such-model', true, true))")
    page.one("#question").send_keys(Keys.ENTER)
    notice = page.one("#result .notice.bad").text
    check("the API's own words are shown on an error", "no-such-model" in notice, notice)
    complaints = page.complaints()
    check("the browser noted that error alone", len(complaints) == 1 and "404" in complaints[0]["message"], complaints)


def looks(page, question):
    """Light and dark, wide and narrow; nothing is cut off at a phone's width."""
    grounds = set()
    for size, device in [(DESKTOP, "desktop"), (PHONE, "phone")]:
        page.resize(size)
        for scheme in ["light", "dark"]:
            page.scheme(scheme)
            for path, name in [("/", "ask"), ("/documents", "documents"), ("/documents/1", "document"), ("/learning", "learning")]:
                page.open(path)
                page.one("main")
                shown(page, f"{name}-{device}-{scheme}", size)
            grounds.add(page.script("return getComputedStyle(document.body).backgroundColor"))
            page.open("/")
            page.ask(question)
            page.script("for (const name of ['.passage', '.planned']) document.querySelector(name).open = true")
            shown(page, f"answer-{device}-{scheme}", size)
    check("dark mode is dark", len(grounds) == 2, grounds)
    page.one(".cite").click()
    page.one("dialog.panel[open]")
    shown(page, "passage-phone-dark", PHONE, whole=False)


def shown(page, name, size, whole=True):
    page.picture(name, whole)
    width = page.script("return document.documentElement.scrollWidth")
    check(f"{name} fits its width", width <= size[0], width)


def main():
    if len(sys.argv) != 4:
        sys.exit(__doc__)
    base, question, output = sys.argv[1].rstrip("/"), sys.argv[2], pathlib.Path(sys.argv[3])
    output.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as profile, tempfile.TemporaryDirectory() as folder:
        page = Page(base, output, profile)
        try:
            ask_and_judge(page, question)
            keyboard_only(page, question)
            documents(page, pathlib.Path(folder))
            looks(page, question)
            complaints = page.complaints()
            check("the browser complained of nothing", not complaints, complaints)
            states(page)
        except Exception:
            page.picture("failure")
            raise
        finally:
            page.driver.quit()


if __name__ == "__main__":
    main()
