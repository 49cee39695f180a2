"""The model's thread: what arrives together shares forwards, and nothing that one asks for harms another."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import httpx2
import pytest

import causal_attrib
from causal_attrib.errors import InputError
from causal_attrib.serve.asked import read_asked
from causal_attrib.serve.limits import Limits
from causal_attrib.serve.resident import FullError, GivenUpError, Resident
from tests.serve.conftest import serving

CAPTIONS = ["a dog", "a cat on the grass", "a red frisbee", "a dog on the grass at sunset"]


def asked(park, caption, kind="score", **values):
    return read_asked(kind, {"caption": caption, **values}, park.read_bytes(), Limits(), None)


@pytest.fixture
def resident(bundled):
    resident = Resident(bundled, Limits(queue=20))
    yield resident
    resident.close()


def held(resident, park):
    """A request that the thread is at until the event is set."""
    go, begun = threading.Event(), threading.Event()

    def wait(done, total):
        begun.set()
        go.wait(30)

    ticket = resident.submit(asked(park, "a dog"), wait)
    begun.wait(30)
    return ticket, go


def test_what_waits_together_shares_forwards_and_gets_its_own_numbers(resident, park, bundled):
    _, go = held(resident, park)
    tickets = [resident.submit(asked(park, caption)) for caption in CAPTIONS]
    wrong = resident.submit(asked(park, "a dog", objects=["dragon"]))
    other = resident.submit(asked(park, "a dog", level="word"))
    go.set()
    for caption, ticket in zip(CAPTIONS, tickets, strict=True):
        found, alone = ticket.future.result(60), causal_attrib.score(park, caption, model=bundled)
        assert found.cost["captions"] == len(CAPTIONS) and found.caption == caption
        assert [t.necessity for t in found.tokens] == pytest.approx([t.necessity for t in alone.tokens], abs=1e-5)
        assert [t.logprob for t in found.tokens] == pytest.approx([t.logprob for t in alone.tokens], abs=1e-4)
    with pytest.raises(InputError, match="dragon"):
        wrong.future.result(60)
    assert other.future.result(60).settings["level"] == "word" and other.future.result().cost["captions"] == 1


def test_more_than_may_wait_are_told_to_come_again(bundled, park):
    resident = Resident(bundled, Limits(queue=2))
    _, go = held(resident, park)
    waiting = [resident.submit(asked(park, "a dog")) for _ in range(2)]
    with pytest.raises(FullError):
        resident.submit(asked(park, "a dog"))
    go.set()
    # What waits is done before the end.
    resident.close()
    assert all(ticket.future.done() and not ticket.future.exception() for ticket in waiting)


def test_large_pictures_do_not_fill_the_memory_while_they_wait(bundled, park):
    pixels = 3 * 512 * 512
    resident = Resident(bundled, Limits(waiting=pixels + 1))
    _, go = held(resident, park)
    resident.submit(asked(park, "a dog"))
    with pytest.raises(FullError):
        resident.submit(asked(park, "a cat"))
    go.set()
    resident.close()
    resident = Resident(bundled, Limits(waiting=1))
    assert resident.submit(asked(park, "a dog")).future.result(60).caption == "a dog"
    resident.close()


def test_what_nobody_waits_for_is_stopped(resident, park):
    ticket, go = held(resident, park)
    later = resident.submit(asked(park, "a cat"))
    ticket.give_up()
    later.give_up()
    go.set()
    for one in (ticket, later):
        with pytest.raises(GivenUpError):
            one.future.result(60)


def test_a_caption_takes_no_longer_than_is_allowed(bundled, image):
    with serving(bundled, seconds=0.001) as (address, _):
        answer = httpx2.post(f"{address}/v1/score", files=image, data={"caption": "a dog"}, timeout=60)
    assert answer.status_code in (408, 504) and answer.json()["error"].endswith((".", "again."))


def test_a_full_queue_is_429_with_the_time_to_come_again(bundled, image, park):
    with serving(bundled, queue=1) as (address, service):
        _, go = held(service.resident, park)
        service.resident.submit(asked(park, "a cat"))
        answer = httpx2.post(f"{address}/v1/score", files=image, data={"caption": "a dog"}, timeout=60)
        go.set()
    assert answer.status_code == 429 and int(answer.headers["retry-after"]) > 0


def test_only_the_last_results_are_kept(bundled, image):
    with serving(bundled, kept=2) as (address, _), httpx2.Client(base_url=address, timeout=60) as client:
        keys = [
            client.post("/v1/score", files=image, data={"caption": "a dog"}).headers["X-Copo-Result"] for _ in range(3)
        ]
        assert [client.get(f"/v1/results/{key}/result.json").status_code for key in keys] == [404, 200, 200]


def test_clients_side_by_side_get_their_own_answers(client, image):
    """One in five is hostile; `benchmarks/serve_load.py` does the same with more."""
    wanted = {caption: client.post("/v1/score", files=image, data={"caption": caption}).json() for caption in CAPTIONS}

    def ask(number):
        if number % 5 == 0:
            return None, client.post("/v1/score", files={"image": ("a.png", b"no picture")}).status_code
        caption = CAPTIONS[number % len(CAPTIONS)]
        return caption, client.post("/v1/score", files=image, data={"caption": caption}).json()

    began = time.monotonic()
    with ThreadPoolExecutor(6) as pool:
        answers = list(pool.map(ask, range(30)))
    assert time.monotonic() - began < 120
    for caption, answer in answers:
        if caption is None:
            assert answer == 400
        else:
            assert answer["caption"] == caption
            found = [token["necessity"] for token in answer["tokens"]]
            assert found == pytest.approx([token["necessity"] for token in wanted[caption]["tokens"]], abs=1e-5)
