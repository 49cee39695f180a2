"""Workers and actors of Ray that are killed in the middle, with the model: rows equal to those of one process.

Each imports torch anew, and Ray begins processes of its own, which takes a minute: `make ray`, not `make test`.
"""

import functools
import json
import os
import signal
import time
from dataclasses import replace

import pandas as pd
import pytest

import causal_attrib
from causal_attrib.batch import Scorer, caption_rows
from causal_attrib.batch.run import score_file
from causal_attrib.results import caption_files
from causal_attrib.scenes import PARK, render

pytestmark = pytest.mark.skipif(not os.environ.get("COPO_RAY"), reason="make ray runs it")


def load(pids):
    """The model, and a file that says which process has it."""
    (pids / str(os.getpid())).touch()
    return causal_attrib.load(device="cpu")


@pytest.fixture
def source(tmp_path, monkeypatch):
    monkeypatch.setattr(caption_rows, "MOST_TOGETHER", 2)
    names = ["a dog", "a cat", "a red bus", "a dog on the grass", "two people", "a cow at noon"]
    for seed, name in enumerate("abc"):
        render(replace(PARK, seed=seed))[0].save(tmp_path / f"{name}.png")
    rows = [{"image": f"{image}.png", "caption": one} for image in "abc" for one in names]
    rows.insert(5, {"image": "none.png", "caption": "a dog", "id": "missing"})
    source = tmp_path / "rows.jsonl"
    source.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return source


def kill_five_of(pids):
    """A progress that kills, each time groups are done, a process that has the model, five times."""
    killed = []

    def there():
        return [int(path.name) for path in pids.iterdir() if int(path.name) not in killed]

    def kill(done, total):
        # Groups that were done before may be told of while those killed are begun anew.
        until = time.monotonic() + 60
        while len(killed) < 5 and not there() and time.monotonic() < until:
            time.sleep(0.1)
        if len(killed) < 5 and there():
            killed.append(there()[0])
            os.kill(killed[-1], signal.SIGKILL)

    return killed, kill


def test_workers_that_are_killed_lose_and_double_nothing(source, bundled, tmp_path):
    pids = tmp_path / "pids"
    pids.mkdir()
    score_file(source, tmp_path / "one.jsonl", lambda: bundled)
    killed, kill = kill_five_of(pids)
    done = score_file(source, tmp_path / "two.jsonl", functools.partial(load, pids), workers=2, progress=kill)
    assert (done.scored, [failure.id for failure in done.failures], len(killed)) == (18, ["missing"], 5)
    assert (tmp_path / "two.jsonl").read_bytes() == (tmp_path / "one.jsonl").read_bytes()


def test_an_actor_that_is_killed_loses_and_doubles_nothing(source, bundled, tmp_path, monkeypatch):
    pytest.importorskip("ray")
    score_file(source, f"{tmp_path}/one/", lambda: bundled)
    pids = tmp_path / "pids"
    pids.mkdir()
    killed, kill = kill_five_of(pids)
    # What actors unpickle by name has to be importable there.
    monkeypatch.setenv("PYTHONPATH", os.getcwd())
    done = score_file(source, f"{tmp_path}/many/", functools.partial(load, pids), ray="local", workers=2, progress=kill)
    assert (done.scored, [failure.id for failure in done.failures], len(killed)) == (18, ["missing"], 5)
    one, many = (list(caption_files.read(tmp_path / name)) for name in ("one", "many"))
    assert one == many and len({scored.caption_id for scored in many}) == 18
    for table in ("captions", "tokens"):
        parts = [(tmp_path / name / table / "part-00000.parquet").read_bytes() for name in ("one", "many")]
        assert parts[0] == parts[1]
    manifest = json.loads((tmp_path / "many" / "manifest.json").read_text())
    assert manifest["captions"] == 18 and len(manifest["parts"]) == 1
    # All that is left is the row that failed, whose group is done again.
    again = score_file(source, f"{tmp_path}/many/", lambda: bundled)
    assert again.before == 17 and [failure.id for failure in again.failures] == ["missing"]


def test_the_scorer_in_a_data_set_of_ray(source):
    ray = pytest.importorskip("ray")
    pytest.importorskip("ray.data")

    frame = pd.read_json(source, lines=True)
    frame["image"] = [str(source.with_name(name)) for name in frame["image"]]
    frame["id"] = [str(number) for number in range(len(frame))]
    with ray.init(include_dashboard=False, num_cpus=2, log_to_driver=False):
        scored = ray.data.from_pandas(frame).map_batches(
            Scorer, fn_constructor_kwargs={"level": "word"}, batch_size=8, concurrency=1
        )
        found = scored.to_pandas().sort_values("caption_id", key=lambda ids: ids.astype(int))
    assert found["caption_id"].tolist() == [str(number) for number in range(19)]
    assert found["failed"].notna().sum() == 1 and found["value"].notna().sum() == 18
