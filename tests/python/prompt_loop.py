"""Fails unless prompts improve by outcomes over HTTP: tried, promoted, stopped, searched, rewritten, taken back.

    prompt_loop.py BASE_URL BINARY PROVIDER_URL

Needs a running server that has documents and asks the test provider, which is told here to be right as often as the blocks of
the prompt make it, and the same binary for its commands.
"""

import concurrent.futures
import json
import subprocess
import sys
import urllib.error
import urllib.request

CHECK = "Check each figure twice."
SHOUT = "Answer in capital letters."
AT_ONCE = 4
# What is found is found by chance, mostly after some 800 requests.
MOST_REQUESTS = 10_000


def check(what, holds, shown=""):
    """Says that `what` holds, or stops with what was found instead."""
    if not holds:
        sys.exit(f"prompts: {what}: NO, found {shown!r}")
    print(f"prompts: {what}: yes")


class Client:
    """The API and the command line of one server."""

    def __init__(self, base, binary):
        self.base, self.binary, self.asked = base, binary, 0
        self.workers = concurrent.futures.ThreadPoolExecutor(AT_ONCE)

    def call(self, method, path, body=None):
        """Status and body of an answer."""
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.base + path, data, {"content-type": "application/json"}, method=method)
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                return answer.status, json.loads(answer.read())
        except urllib.error.HTTPError as error:
            return error.code, json.loads(error.read())

    def get(self, path):
        status, body = self.call("GET", path)
        check(f"GET {path} answers", status == 200, body)
        return body

    def post(self, path, body, expected=200):
        status, body = self.call("POST", path, body)
        check(f"POST {path} answers {expected}", status == expected, (status, body))
        return body

    def run(self, *arguments):
        """The JSON that a command prints."""
        command = [self.binary, "--json", *arguments, "--url", self.base]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60)
        check(f"burnish {' '.join(arguments[:2])} works", done.returncode == 0, done.stderr)
        return json.loads(done.stdout)

    def ask(self, number):
        """Asks, and says what came of it."""
        question = {"role": "user", "content": f"What is the rate of the ledger in case {number}?"}
        _, answer = self.call("POST", "/v1/chat/completions", {"model": "burnish", "messages": [question]})
        text = answer["choices"][0]["message"]["content"]
        self.call("POST", "/v1/feedback", {"id": answer["id"], "thumb": "up" if "right" in text else "down"})

    def ask_until(self, holds):
        """Asks new questions until `holds()`; how many."""
        asked = 0
        while not holds() and asked < MOST_REQUESTS:
            numbers = range(self.asked, self.asked + 5 * AT_ONCE)
            self.asked += len(numbers)
            asked += len(numbers)
            list(self.workers.map(self.ask, numbers))
        return asked

    def in_use(self, template="answer"):
        _, found = self.call("GET", f"/v1/templates/{template}")
        return found["version"]

    def text(self, template="answer"):
        _, found = self.call("GET", f"/v1/templates/{template}")
        return "\n".join(block["text"] for block in found["blocks"])

    def draft(self, more):
        """A version whose instructions say more."""
        found = self.get("/v1/templates/answer")
        instructions = next(block["text"] for block in found["blocks"] if block["kind"] == "instructions")
        body = {"blocks": {"instructions": f"{instructions} {more}"}, "note": more}
        return self.post("/v1/templates/answer/versions", body, 201)["version"]

    def state(self, experiment):
        return self.call("GET", f"/v1/experiments/{experiment}")[1]["state"]


def teach(provider, instructions):
    """Has the provider answer by rule, and rewrite instructions as a good model might."""
    rules = [
        {"contains": CHECK, "adds": 0.35},
        {"contains": "Be brief", "adds": 0.2},
        {"contains": SHOUT, "adds": -0.4},
        {"contains": "You improve the instructions", "says": f"{instructions} {CHECK}"},
    ]
    knobs = {"rules": {"base": 0.4, "rules": rules, "right": "It is right. [1]", "wrong": "It is wrong. [1]"}}
    request = urllib.request.Request(f"{provider}/admin/knobs", json.dumps(knobs).encode(), method="PUT")
    urllib.request.urlopen(request, timeout=10).close()


def experiment_is_promoted(client):
    """A better version is found to be better, and takes over."""
    first, better = client.in_use(), client.draft(CHECK)
    created = client.run("experiments", "create", "answer", better, "--name", "check figures", "--start")
    check("the experiment runs", created["state"] == "running", created)
    asked = client.ask_until(lambda: client.state(created["id"]) != "running")
    ended = client.get(f"/v1/experiments/{created['id']}")
    check(f"the better version is promoted (after {asked} requests)", ended["state"] == "promoted", ended)
    check("its interval is above 0", ended["challengers"][0]["interval"][0] >= 0, ended)
    check("it is in use", client.in_use() == better, client.in_use())
    return first, better


def harm_is_stopped(client):
    """A harmful version is taken away."""
    before, worse = client.in_use(), client.draft(SHOUT)
    body = {"template": "answer", "challengers": [worse], "name": "shout", "start": True}
    created = client.post("/v1/experiments", body, 201)
    asked = client.ask_until(lambda: client.state(created["id"]) != "running")
    ended = client.get(f"/v1/experiments/{created['id']}")
    served = ended["challengers"][0]["of_challenger"]["served"]
    check(f"the harmful version is dropped (after {served} of {asked} requests)", ended["state"] == "retired", ended)
    check("the champion stays", client.in_use() == before, client.in_use())
    return created["id"]


def search_finds_more(client):
    """A search combines blocks, and what it finds is confirmed and put into use."""
    before = client.in_use()
    started = client.run("prompts", "search", "answer", "--start")
    check("the search has something to try", started["running"] and len(started["pool"]) > 1, started)

    def search():
        return client.call("GET", "/v1/templates/answer/search")[1]

    asked = client.ask_until(lambda: "Be brief" in client.text() or not search()["running"])
    check(f"the search finds the block that helps (after {asked} requests)", "Be brief" in client.text(), search())
    check("it is in another version", client.in_use() != before, before)
    template = client.get("/v1/templates/answer")
    record = next(version for version in template["versions"] if version["in_use"])
    check("its ancestry is shown", record["parents"] and record["origin"] != "file", record)
    rewritten = client.run("prompts", "rewrite", "answer")
    check("a model rewrites by what went wrong", CHECK in rewritten["instructions"] and rewritten["failures"] > 0, rewritten)
    insights = client.run("prompts", "insights", "answer", "--confidence", "0.8")
    check("blocks get their credit", insights["outcomes"] > 100 and insights["effects"], insights)
    if search()["running"]:
        client.run("prompts", "search", "answer", "--stop")


def everything_can_be_taken_back(client, first):
    """The log says what was changed, and an earlier version can be used again."""
    changes = client.get("/v1/prompts/changes")["changes"]
    kinds = {change["kind"] for change in changes}
    check("the log has it all", {"drafted", "started", "promoted", "searching", "settled"} <= kinds, kinds)
    client.run("prompts", "use", "answer", first)
    check("the first version is in use again", client.in_use() == first, client.in_use())
    client.run("prompts", "pin", "answer")
    status, refused = client.call("POST", "/v1/templates/answer/search", {})
    check("what is pinned is left alone", status == 400 and "pinned" in refused["error"]["message"], refused)
    client.run("prompts", "unpin", "answer")


def main():
    if len(sys.argv) != 4:
        sys.exit(__doc__)
    client = Client(sys.argv[1].rstrip("/"), sys.argv[2])
    blocks = client.get("/v1/templates/answer")["blocks"]
    instructions = next(block["text"] for block in blocks if block["kind"] == "instructions")
    teach(sys.argv[3].removesuffix("/v1"), instructions)
    first, _ = experiment_is_promoted(client)
    harm_is_stopped(client)
    search_finds_more(client)
    everything_can_be_taken_back(client, first)


if __name__ == "__main__":
    main()
