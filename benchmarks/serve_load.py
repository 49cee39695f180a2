"""`copo serve` under load: python benchmarks/serve_load.py [--clients 8] [--requests 50] [--more 2000]

Clients ask side by side for scores of captions of unseen scenes, one request in ten being hostile; each answer is held
against the score that the library gives. Then more requests follow one another, and the memory of the server's process
is watched. Prints a table.
"""

import argparse
import re
import statistics
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import httpx2
import numpy as np
import psutil

import causal_attrib
from causal_attrib import scenes

# What a stranger may send, and the status that it gets.
HOSTILE = [
    ({"files": {"image": ("a.png", b"\x89PNG\r\n\x1a\n" + b"\x00" * 1_000)}, "data": {"caption": "a dog"}}, 400),
    ({"json": {"image": "/etc/passwd", "caption": "a dog"}}, 400),
    ({"content": b"[" * 50_000, "headers": {"Content-Type": "application/json"}}, 400),
    ({"content": b"x" * 25_000_000, "headers": {"Content-Type": "application/json"}}, 413),
    ({"files": {"image": ("a.png", b"")}, "headers": {"Origin": "http://elsewhere.example"}}, 403),
]
# How far a number may lie from that of the caption scored alone.
TOLERANCE = 1e-4


def questions(count, seed=20_261_128):
    """(bytes of a picture, a caption, its necessity token by token)."""
    import io

    rng = np.random.default_rng(seed)
    vlm = causal_attrib.load(device="cpu")
    for _ in range(count):
        scene = scenes.sample_scene(rng)
        sink = io.BytesIO()
        scenes.render(scene)[0].save(sink, "PNG")
        scored = causal_attrib.score(sink.getvalue(), scenes.caption(scene), model=vlm)
        yield sink.getvalue(), scenes.caption(scene), [token.necessity for token in scored.tokens]


def ask(client, number, asked):
    """Seconds, and what was wrong with the answer: None for nothing."""
    began = time.perf_counter()
    if number % 10 == 9:
        request, status = HOSTILE[number // 10 % len(HOSTILE)]
        try:
            answer = client.post("/v1/score", **request)
        except httpx2.WriteError:  # a body that is too large is not read to its end
            return time.perf_counter() - began, None
        return time.perf_counter() - began, None if answer.status_code == status else f"{answer.status_code}"
    picture, caption, necessity = asked[number % len(asked)]
    while True:
        answer = client.post("/v1/score", files={"image": picture}, data={"caption": caption})
        if answer.status_code != 429:
            break
        time.sleep(int(answer.headers["Retry-After"]))
    taken = time.perf_counter() - began
    if answer.status_code != 200:
        return taken, f"{answer.status_code} {answer.text}"
    found = [token["necessity"] for token in answer.json()["tokens"]]
    if answer.json()["caption"] != caption or len(found) != len(necessity):
        return taken, "another's answer"
    return taken, None if max(np.abs(np.subtract(found, necessity))) < TOLERANCE else "other numbers"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--clients", type=int, default=8)
    parser.add_argument("--requests", type=int, default=50)
    parser.add_argument("--more", type=int, default=2_000)
    given = parser.parse_args()
    asked = list(questions(40))
    command = [sys.executable, "-m", "causal_attrib_cli.main", "serve", "--port", "0"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as server:
        address = next(re.findall(r"http\S+", line)[0] for line in server.stderr if line.startswith("Ready"))
        process = psutil.Process(server.pid)
        with httpx2.Client(base_url=address, timeout=300) as client:
            ask(client, 0, asked)
            began, cpu = time.perf_counter(), sum(process.cpu_times()[:2])

            def work(number):
                return [ask(client, number * given.requests + n, asked) for n in range(given.requests)]

            with ThreadPoolExecutor(given.clients) as pool:
                answers = [answer for some in pool.map(work, range(given.clients)) for answer in some]
            wall, cpu = time.perf_counter() - began, sum(process.cpu_times()[:2]) - cpu
            wrong = [reason for _, reason in answers if reason is not None]
            seconds = sorted(taken for taken, _ in answers)
            print(f"{given.clients} clients x {given.requests} requests, one in ten hostile")
            print(f"answers         {len(answers)}, lost or mixed up: {len(wrong)} {sorted(set(wrong))[:3]}")
            print(f"throughput      {len(answers) / wall:.1f} requests/s, {1000 * cpu / len(answers):.0f} ms CPU each")
            print(
                f"latency         median {statistics.median(seconds):.2f} s, 95 % within "
                f"{seconds[int(0.95 * len(seconds))]:.2f} s"
            )
            memory = []
            for number in range(given.more):
                wrong += [reason] if (reason := ask(client, number, asked)[1]) else []
                if number % max(given.more // 8, 1) == 0:
                    memory.append(process.memory_info().rss / 2**20)
            memory.append(process.memory_info().rss / 2**20)
            told = ", ".join(f"{one:.0f}" for one in memory)
            print(f"memory          {told} MiB over {given.more} requests more; wrong {len(wrong)}")
        server.terminate()
    return bool(wrong)


if __name__ == "__main__":
    sys.exit(main())
