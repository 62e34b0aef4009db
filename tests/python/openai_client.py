"""Fails unless OpenAI's own Python client, unchanged, works with a running server that has documents.

    openai_client.py BASE_URL QUESTION

QUESTION is one that the documents answer. Needs the PyPI package `openai`.
"""

import sys

import openai


def check(what, holds, shown=""):
    """Says that `what` holds, or stops with what was found instead."""
    if not holds:
        sys.exit(f"openai: {what}: NO, found {shown!r}")
    print(f"openai: {what}: yes")


def refused(kind, call):
    """The error of this kind that `call` raises."""
    try:
        call()
    except kind as error:
        return error
    sys.exit(f"openai: no {kind.__name__} was raised")


def check_models(client):
    """Lists and retrieves; returns the name of the embedding model."""
    models = {model.id: model for model in client.models.list()}
    check("the models are listed", {"burnish", "burnish/extractive", "burnish/hybrid"} <= set(models), list(models))
    for name in models:
        model = client.models.retrieve(name)
        check(f"the model {name} is retrieved by name", model.id == name and model.object == "model", model)
    return next(model.id for model in models.values() if model.owned_by == "encoder")


def check_embeddings(client, model):
    """Both forms hold the same unit vectors. The client asks for base 64 unless it is told otherwise."""
    texts = ["What is a posting list?", "A cup of tea."]
    usual = client.embeddings.create(model=model, input=texts)
    plain = client.embeddings.create(model=model, input=texts, encoding_format="float")
    check("one vector a text", [item.index for item in usual.data] == [0, 1], usual.data)
    for ours, theirs in zip(usual.data, plain.data, strict=True):
        apart = max(abs(a - b) for a, b in zip(ours.embedding, theirs.embedding, strict=True))
        length = sum(value * value for value in ours.embedding)
        check("base 64 and floats agree, and have unit length", apart < 1e-6 and abs(length - 1) < 1e-3, (apart, length))
    check("tokens are counted", usual.usage.total_tokens > 0, usual.usage)
    single = client.embeddings.create(model=model, input=texts[0])
    check("one text alone has the same vector", len(single.data) == 1, len(single.data))


def check_chat(client, question):
    """A whole answer, with what is told beside it."""
    answer = client.chat.completions.create(
        model="burnish/extractive",
        messages=[{"role": "system", "content": "Be brief."}, {"role": "user", "content": question}],
        extra_body={"burnish": {"top_k": 5, "user": {"user": "tester"}}},
    )
    choice = answer.choices[0]
    check("an answer comes", choice.message.role == "assistant" and choice.finish_reason == "stop", choice)
    check("it cites", "[1]" in choice.message.content, choice.message.content)
    beside = answer.model_extra["burnish"]
    check("five passages were asked for", len(beside["evidence"]) == 5, len(beside["evidence"]))
    check("citations quote", beside["citations"][0]["quote"], beside["citations"])
    check("the plan is told", beside["plan"]["answerer"] == "extractive", beside["plan"])


def check_stream(client, question):
    """A streamed answer, its usage, and feedback by its id."""
    chunks = list(
        client.chat.completions.create(
            model="burnish/hybrid",
            messages=[{"role": "user", "content": [{"type": "text", "text": question}]}],
            stream=True,
            stream_options={"include_usage": True},
        )
    )
    pieces = [chunk.choices[0].delta.content for chunk in chunks if chunk.choices and chunk.choices[0].delta.content]
    check("a stream comes in pieces", len(pieces) > 3, pieces)
    check("all pieces are of one answer", len({chunk.id for chunk in chunks}) == 1, chunks[0].id)
    check("the first chunk brings the plan", chunks[0].model_extra["burnish"]["plan"]["strategy"] == "hybrid")
    check("a chunk says why it ends", any(chunk.choices and chunk.choices[0].finish_reason for chunk in chunks))
    check("the last chunk tells the usage", chunks[-1].usage is not None, chunks[-1])
    kept = client.post("/feedback", body={"id": chunks[0].id, "thumb": "up"}, cast_to=object)
    check("feedback by the answer's id is kept", kept["recorded"] is True, kept)


def check_errors(client):
    """Refusals become the client's own exceptions."""
    ask = lambda model, content: client.chat.completions.create(
        model=model, messages=[{"role": "user", "content": content}]
    )
    error = refused(openai.NotFoundError, lambda: ask("no-such-model", "x"))
    check("an unknown model is NotFoundError", error.code == "model_not_found" and error.param == "model", error.body)
    error = refused(openai.BadRequestError, lambda: ask("burnish", ""))
    check("an empty message is BadRequestError", error.code == "empty_query", error.body)


def main():
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    base, question = sys.argv[1].rstrip("/"), sys.argv[2]
    client = openai.OpenAI(base_url=f"{base}/v1", api_key="none", max_retries=0, timeout=60)
    model = check_models(client)
    check_embeddings(client, model)
    check_chat(client, question)
    check_stream(client, question)
    check_errors(client)


if __name__ == "__main__":
    main()
