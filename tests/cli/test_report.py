"""`copo report` of one file of captions, and of two."""

import json

from causal_attrib import Attribution
from causal_attrib.results import caption_files
from causal_attrib_cli.report_captions import is_of_captions
from tests.views.conftest import browser, opened  # noqa: F401
from tests.views.test_captions_page import FEW, G, P, scored


def test_the_scores_of_one_caption_are_no_file_of_captions(refused, tmp_path):
    record = {name: value for name, value in FEW[0].to_dict().items() if name not in ("caption_id", "batch")}
    for suffix in ("parquet", "csv"):
        Attribution.from_dict(record).save(tmp_path / f"one.{suffix}")
        assert f"one.{suffix} holds one caption" in refused("report", tmp_path / f"one.{suffix}")


def test_copo_report_of_one_file_and_of_two(copo, refused, opened, tmp_path):  # noqa: F811
    first, second, page = tmp_path / "a.parquet", tmp_path / "b.parquet", tmp_path / "page.html"
    caption_files.write(first, FEW)
    changed = [scored(0, [("a", None), ("dog", P), ("at", None), ("noon", G)], "p", 0.4), *FEW[1:]]
    caption_files.write(second, changed)
    result = copo("report", first, "--out", page)
    assert result.exit_code == 0, result.output
    assert "The page on 4 captions has 0." in result.stderr and f"Wrote {page}" in result.stderr
    data = page.read_text().partition('id="copo-captions">')[2].partition("</script>")[0]
    assert len(json.loads(data)["rows"]) == 4
    assert copo("report", first, second, "--out", page, "--quiet").exit_code == 0
    shown = opened(page.read_text())
    assert shown.locator("h1").inner_text() == "a.parquet to b.parquet"
    table = shown.locator("section", has_text="Verdicts of words").locator("tbody tr")
    assert table.first.inner_text().split("\t")[0].strip() == "grounded in A"
    shown.get_by_label("Sort by").select_option("change")
    assert shown.locator(".row").first.inner_text().splitlines()[-1] == "a dog at noon"
    assert "change of p(false) -0.500" in (shown.locator(".row").first.click() or shown.locator("#detail").inner_text())
    assert is_of_captions("x.parquet") and not is_of_captions(str(tmp_path))
    assert "holds neither scored captions nor a training log" in refused("report", tmp_path, "--out", page)
    assert "There is no file" in refused("report", tmp_path / "none.parquet", "--out", page)
    assert "end its name in .html" in refused("report", first, "--out", tmp_path / "page.pdf")
    assert "is read and would be written over" in refused("report", first, "--out", first)
    assert "is named twice; name each source once" in refused("report", first, first, "--out", page)


def test_a_page_on_runs_writes_over_no_log(refused, tmp_path):
    state = tmp_path / "run" / "trainer_state.json"
    state.parent.mkdir()
    state.write_text('{"log_history": [{"step": 1, "reward": 0.5}]}')
    assert "end its name in .html" in refused("report", state.parent, "--out", state)
    assert "reward" in state.read_text()
