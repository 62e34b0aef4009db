"""Fails unless our means of a TREC run agree with those of ir-measures to four decimals.

    ir_measures_agree.py RUN QRELS MEANS [--strategy NAME]

RUN is a TREC run, QRELS a BEIR qrels file (`query-id`, `corpus-id`, `score`, tab-separated), MEANS a JSON object
of measures (`{"ndcg@10": 0.67}` or `{"ndcg@10": {"mean": 0.67}}`), or what `burnish eval retrieval --json` prints,
of which `--strategy` picks the strategy and the run's lines with that tag. Needs the PyPI package `ir-measures`.
"""

import argparse
import json
import re
import sys

import ir_measures

NAMES = {"ndcg": "nDCG", "recall": "R", "mrr": "RR", "precision": "P", "success": "Success"}
TOLERANCE = 0.5e-4


def their_measure(name):
    """The measure of ir-measures that has our `name`; None for what is no measure, such as `latency_ms`."""
    if name == "map":
        return ir_measures.parse_measure("AP")
    match = re.fullmatch(r"([a-z]+)@(\d+)", name)
    if not match or match[1] not in NAMES:
        return None
    return ir_measures.parse_measure(f"{NAMES[match[1]]}@{match[2]}")


def read_qrels(path):
    """The judgements; a first line whose score is no number is a header."""
    with open(path, encoding="utf-8") as lines:
        fields = [line.rstrip("\r\n").split("\t") for line in lines if line.strip()]
    if not fields[0][2].lstrip("-").isdigit():
        fields = fields[1:]
    return [ir_measures.Qrel(query, document, int(grade)) for query, document, grade in fields]


def read_run(path, tag):
    """The run's lines with this tag, or all of them."""
    with open(path, encoding="utf-8") as lines:
        fields = [line.split() for line in lines if line.strip()]
    return [ir_measures.ScoredDoc(line[0], line[2], float(line[4])) for line in fields if tag in (None, line[5])]


def our_means(path, strategy):
    """Measure to mean."""
    with open(path, encoding="utf-8") as file:
        means = json.load(file)
    if strategy is not None:
        means = means["strategies"][strategy]
    plain = {name: mean["mean"] if isinstance(mean, dict) and "mean" in mean else mean for name, mean in means.items()}
    return {name: mean for name, mean in plain.items() if their_measure(name)}


def main():
    parser = argparse.ArgumentParser(description="Compares our means of a TREC run with those of ir-measures.")
    parser.add_argument("run")
    parser.add_argument("qrels")
    parser.add_argument("means")
    parser.add_argument("--strategy")
    arguments = parser.parse_args()

    ours = our_means(arguments.means, arguments.strategy)
    run = read_run(arguments.run, arguments.strategy)
    if not ours or not run:
        sys.exit(f"nothing to compare: {len(ours)} measures and {len(run)} lines of the run")
    theirs = ir_measures.calc_aggregate([their_measure(name) for name in ours], read_qrels(arguments.qrels), run)

    wrong = 0
    for name, mean in ours.items():
        reference = theirs[their_measure(name)]
        agrees = abs(mean - reference) <= TOLERANCE
        wrong += not agrees
        print(f"{name:14} ours {mean:.6f}  ir-measures {reference:.6f}  {'agrees' if agrees else 'DIFFERS'}")
    if wrong:
        sys.exit(f"{wrong} of {len(ours)} measures differ by more than {TOLERANCE}")


if __name__ == "__main__":
    main()
