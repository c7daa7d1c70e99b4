#!/usr/bin/env python3
"""Reads the JSON lines of a measurement and prints its marks as a Markdown table.

    marks.py DIR    reads DIR/{rclone,nginx,alone,inline,previous}.jsonl
"""
import collections
import json
import pathlib
import sys


def rates(path):
    """(case, connections, server) to requests per second over all passes; passes with errors do not count."""
    requests, seconds, broken = collections.Counter(), collections.Counter(), set()
    lines = path.read_text().splitlines() if path.exists() else []
    for line in map(json.loads, lines):
        key = (line["case"], line["connections"], line["server"])
        requests[key] += line["requests"]
        seconds[key] += line["seconds"]
        if line["errors"]:
            broken.add(key)
    return {key: requests[key] / seconds[key] for key in requests if requests[key] and key not in broken}


def ratios(found, above, below):
    """The ratio of two (case, server) pairs at each number of connections where both were measured."""
    at = sorted({connections for _, connections, _ in found})
    pairs = [(n, found.get((above[0], n, above[1])), found.get((below[0], n, below[1]))) for n in at]
    return [(n, high / low) for n, high, low in pairs if high and low]


def main(directory):
    names = ("rclone", "nginx", "alone", "inline", "previous")
    rclone, nginx, alone, inline, previous = (rates(directory / f"{name}.jsonl") for name in names)
    marks = [
        ("GET 4 KiB, times rclone serve s3", ">= 2", lambda r: r >= 2,
         ratios(rclone, ("get-4k", "longshore"), ("get-4k", "rclone"))),
        ("LIST page at 1 M keys, times that at 10 k", "<= 1.5", lambda r: r <= 1.5,
         ratios(alone, ("list-10k", "longshore"), ("list-1m", "longshore"))),
        ("GET 64 MiB, share of nginx", ">= 0.6", lambda r: r >= 0.6,
         ratios(nginx, ("get-64m", "longshore"), ("get-64m", "nginx"))),
        ("PUT 4 KiB at 32, times that with inline_bytes_max = 0", ">= 4", lambda r: r >= 4,
         [(n, r) for n, r in ratios(inline, ("put-4k", "with"), ("put-4k", "without")) if n == 32]),
        ("GET 4 KiB, times the previous program", ">= 0.9", lambda r: r >= 0.9,
         ratios(previous, ("get-4k", "new"), ("get-4k", "old"))),
        ("PUT 4 KiB, times the previous program", ">= 0.9", lambda r: r >= 0.9,
         ratios(previous, ("put-4k", "new"), ("put-4k", "old"))),
    ]
    print("| mark | wanted | ratio at connections | held |\n| --- | --- | --- | --- |")
    for what, wanted, holds, got in marks:
        shown = ", ".join(f"{ratio:.2f} at {connections}" for connections, ratio in got) or "not measured"
        held = "-" if not got else "yes" if all(holds(ratio) for _, ratio in got) else "no"
        print(f"| {what} | {wanted} | {shown} | {held} |")


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]))
