#!/usr/bin/env python3
"""The yardstick for Burnish's encoder: the same model through onnxruntime, on the same passages.

    onnxruntime_embed.py MODEL_FOLDER PASSAGES [--threads 2] [--seconds 10] [--query TEXT]

PASSAGES has one JSON string a line. The ONNX graph is built here from model.safetensors and fused by onnxruntime's own
transformer optimiser (attention, GELU, layer normalisation with its residual) and its full graph optimisation; batches of
8, 16 and 32 are tried and the best one counts. Passages are sorted by length and padded to the longest of their batch.
Prints one JSON object. Wants the PyPI packages onnxruntime, onnx, sympy, numpy, safetensors and tokenizers.
"""

import argparse
import json
import os
import tempfile
import time

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper
from safetensors.numpy import load_file
from tokenizers import Tokenizer


class Graph:
    """An ONNX graph under construction."""

    def __init__(self):
        self.nodes, self.tensors = [], []

    def constant(self, name, value):
        self.tensors.append(numpy_helper.from_array(np.ascontiguousarray(value), name))
        return name

    def add(self, kind, inputs, name, **attributes):
        self.nodes.append(helper.make_node(kind, inputs, [name], name=name, **attributes))
        return name

    def linear(self, source, weights, name):
        matrix = self.constant(f"{name}.matrix", weights[f"{name}.weight"].T)
        product = self.add("MatMul", [source, matrix], f"{name}.product")
        return self.add("Add", [product, self.constant(f"{name}.shift", weights[f"{name}.bias"])], f"{name}.out")

    def norm(self, source, weights, name, epsilon):
        scale = self.constant(f"{name}.scale", weights[f"{name}.weight"])
        shift = self.constant(f"{name}.shift", weights[f"{name}.bias"])
        return self.add("LayerNormalization", [source, scale, shift], f"{name}.out", axis=-1, epsilon=epsilon)


def split_heads(graph, source, name, heads, width, order):
    shape = graph.constant(f"{name}.shape", np.array([0, 0, heads, width], np.int64))
    return graph.add("Transpose", [graph.add("Reshape", [source, shape], f"{name}.heads")], f"{name}.turned", perm=order)


def attention(graph, state, mask, weights, layer, config):
    heads, hidden = config["num_attention_heads"], config["hidden_size"]
    width, name = hidden // heads, f"{layer}.attention.self"
    parts = {part: graph.linear(state, weights, f"{name}.{part}") for part in ("query", "key", "value")}
    query = split_heads(graph, parts["query"], f"{name}.q", heads, width, [0, 2, 1, 3])
    key = split_heads(graph, parts["key"], f"{name}.k", heads, width, [0, 2, 3, 1])
    value = split_heads(graph, parts["value"], f"{name}.v", heads, width, [0, 2, 1, 3])
    root = graph.constant(f"{name}.root", np.array(np.sqrt(width), np.float32))
    scores = graph.add("Div", [graph.add("MatMul", [query, key], f"{name}.raw"), root], f"{name}.scaled")
    weight = graph.add("Softmax", [graph.add("Add", [scores, mask], f"{name}.masked")], f"{name}.weight", axis=-1)
    mixed = graph.add("Transpose", [graph.add("MatMul", [weight, value], f"{name}.mixed")], f"{name}.back", perm=[0, 2, 1, 3])
    joined = graph.add("Reshape", [mixed, graph.constant(f"{name}.joint", np.array([0, 0, hidden], np.int64))], f"{name}.joined")
    output = graph.linear(joined, weights, f"{layer}.attention.output.dense")
    total = graph.add("Add", [output, state], f"{layer}.attention.sum")
    return graph.norm(total, weights, f"{layer}.attention.output.LayerNorm", config["layer_norm_eps"])


def feed_forward(graph, state, weights, layer, config):
    wide = graph.linear(state, weights, f"{layer}.intermediate.dense")
    gate = graph.add("Gelu", [wide], f"{layer}.gelu", approximate="none")
    output = graph.linear(gate, weights, f"{layer}.output.dense")
    total = graph.add("Add", [output, state], f"{layer}.output.sum")
    return graph.norm(total, weights, f"{layer}.output.LayerNorm", config["layer_norm_eps"])


def build(folder):
    """The model from token numbers and a mask to unit-length vectors."""
    config = json.load(open(os.path.join(folder, "config.json")))
    weights = load_file(os.path.join(folder, "model.safetensors"))
    graph = Graph()
    words = graph.constant("words", weights["embeddings.word_embeddings.weight"])
    places = weights["embeddings.position_embeddings.weight"] + weights["embeddings.token_type_embeddings.weight"][:1]
    length = graph.add("Gather", [graph.add("Shape", ["ids"], "shape"), graph.constant("one", np.array([1], np.int64))], "length")
    start, axis = graph.constant("start", np.array([0], np.int64)), graph.constant("axis", np.array([0], np.int64))
    places = graph.add("Slice", [graph.constant("places", places), start, length, axis], "places.used")
    total = graph.add("Add", [graph.add("Gather", [words, "ids"], "words.used"), places], "embeddings.sum")
    state = graph.norm(total, weights, "embeddings.LayerNorm", config["layer_norm_eps"])

    # Two steps where one would do: the shape that the optimiser knows attention masks by.
    lifted = graph.add("Unsqueeze", ["mask", graph.constant("mask.first", np.array([1], np.int64))], "mask.lifted")
    lifted = graph.add("Unsqueeze", [lifted, graph.constant("mask.second", np.array([2], np.int64))], "mask.lifted.twice")
    lifted = graph.add("Cast", [lifted], "mask.float", to=TensorProto.FLOAT)
    off = graph.add("Sub", [graph.constant("mask.one", np.array(1, np.float32)), lifted], "mask.off")
    low = graph.add("Mul", [off, graph.constant("mask.low", np.array(-10000, np.float32))], "mask.low.used")
    for layer in range(config["num_hidden_layers"]):
        state = attention(graph, state, low, weights, f"encoder.layer.{layer}", config)
        state = feed_forward(graph, state, weights, f"encoder.layer.{layer}", config)

    real = graph.add("Cast", ["mask"], "mask.real", to=TensorProto.FLOAT)
    column = graph.add("Unsqueeze", [real, graph.constant("pool.axis", np.array([2], np.int64))], "pool.mask")
    kept = graph.add("Mul", [state, column], "pool.kept")
    pooled = graph.add("ReduceSum", [kept, graph.constant("pool.sum", np.array([1], np.int64))], "pool.total", keepdims=0)
    graph.add("LpNormalization", [pooled], "vector", axis=1, p=2)
    ids, mask = (helper.make_tensor_value_info(name, TensorProto.INT64, ["batch", "length"]) for name in ("ids", "mask"))
    vector = helper.make_tensor_value_info("vector", TensorProto.FLOAT, ["batch", config["hidden_size"]])
    model = helper.make_model(
        helper.make_graph(graph.nodes, "encoder", [ids, mask], [vector], graph.tensors),
        opset_imports=[helper.make_opsetid("", 20)],
        ir_version=9,
    )
    onnx.checker.check_model(model)
    return model, config


def fuse(model, config, path):
    """Fuses with the transformer optimiser; which of its fusions took is part of the result."""
    from onnxruntime.transformers import optimizer

    onnx.save(model, path)
    fused = optimizer.optimize_model(
        path, "bert", num_heads=config["num_attention_heads"], hidden_size=config["hidden_size"], opt_level=0
    )
    fused.save_model_to_file(path)
    return {name: count for name, count in fused.get_fused_operator_statistics().items() if count}


def session(path, threads):
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
    return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])


def embed(run, tokenizer, texts, size):
    encoded = tokenizer.encode_batch_fast(texts)
    order = sorted(range(len(texts)), key=lambda text: len(encoded[text].ids))
    vectors = [None] * len(texts)
    for first in range(0, len(order), size):
        members = order[first : first + size]
        longest = max(len(encoded[text].ids) for text in members)
        ids, mask = np.zeros((2, len(members), longest), np.int64)
        for row, text in enumerate(members):
            ids[row, : len(encoded[text].ids)] = encoded[text].ids
            mask[row, : len(encoded[text].ids)] = 1
        for text, vector in zip(members, run.run(None, {"ids": ids, "mask": mask})[0]):
            vectors[text] = vector
    return vectors


def throughput(run, tokenizer, texts, size, seconds):
    embed(run, tokenizer, texts[: 2 * size], size)
    best, until = 0.0, time.perf_counter() + seconds
    while time.perf_counter() < until:
        start = time.perf_counter()
        embed(run, tokenizer, texts, size)
        best = max(best, len(texts) / (time.perf_counter() - start))
    return best


def query_milliseconds(run, tokenizer, query):
    times = []
    for _ in range(200):
        start = time.perf_counter()
        embed(run, tokenizer, [query], 1)
        times.append((time.perf_counter() - start) * 1000)
    return float(np.median(times))


def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("model")
    arguments.add_argument("passages")
    arguments.add_argument("--threads", type=int, default=2)
    arguments.add_argument("--seconds", type=float, default=10, help="how long each batch size is measured")
    arguments.add_argument("--query", default="how do I rotate an api key without any downtime")
    arguments.add_argument("--reference", help="JSON lines of {text, embedding} to compare with")
    options = arguments.parse_args()

    tokenizer = Tokenizer.from_file(os.path.join(options.model, "tokenizer.json"))
    limits = os.path.join(options.model, "sentence_bert_config.json")
    tokenizer.enable_truncation(json.load(open(limits))["max_seq_length"])
    tokenizer.no_padding()
    model, config = build(options.model)
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "model.onnx")
        fusions = fuse(model, config, path)
        run = session(path, options.threads)

    texts = [json.loads(line) for line in open(options.passages)]
    by_batch = {size: throughput(run, tokenizer, texts, size, options.seconds) for size in (8, 16, 32)}
    result = {
        "onnxruntime": onnxruntime.__version__,
        "threads": options.threads,
        "n": len(texts),
        "texts_per_second": max(by_batch.values()),
        "texts_per_second_by_batch": by_batch,
        "query_ms": query_milliseconds(run, tokenizer, options.query),
        "fusions": fusions,
    }
    if options.reference:
        rows = [json.loads(line) for line in open(options.reference)]
        vectors = np.array(embed(run, tokenizer, [row["text"] for row in rows], 8))
        expected = np.array([row["embedding"] for row in rows])
        cosines = (vectors * expected).sum(1) / np.linalg.norm(expected, axis=1) / np.linalg.norm(vectors, axis=1)
        result["cosine_check"] = {"n": len(rows), "min": float(cosines.min())}
    print(json.dumps(result))


if __name__ == "__main__":
    main()
