"""How commands are asked for help and called: two screens, whole names, one spelling, settings that stand in a file."""

import json

import pytest
import typer

from causal_attrib import Attribution, InputError
from causal_attrib_cli import settings, usage
from causal_attrib_cli.main import app


def commands(group, path=()):
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from commands(command, (*path, name))
        else:
            yield (*path, name), command


COMMANDS = dict(commands(typer.main.get_command(app)))


@pytest.mark.parametrize("path", COMMANDS, ids=" ".join)
def test_help_fits_two_screens_and_the_rest_is_under_help_all(copo_at_80, path):
    brief, full = (copo_at_80(*path, flag) for flag in ("--help", "--help-all"))
    assert brief.exit_code == full.exit_code == 0
    assert len(brief.stdout.splitlines()) <= usage.MOST_LINES
    assert max(map(len, full.stdout.splitlines())) <= 80 and "…" not in full.stdout
    known = [flag for param in COMMANDS[path].params for flag in param.opts if flag.startswith("--")]
    said = full.stdout.replace(",", " ").split()
    assert [flag for flag in known if flag not in said] == []
    cut = any(flag not in brief.stdout for flag in known)
    assert cut == (f"More flags: copo {' '.join(path)} --help-all." in brief.stdout)


@pytest.fixture
def copo_at_80():
    from typer.testing import CliRunner

    return lambda *arguments: CliRunner(env={"COLUMNS": "80"}).invoke(app, list(arguments))


def test_lists_of_commands_are_not_cut(copo_at_80):
    for group in ([], ["eval"], ["pope"]):
        shown = copo_at_80(*group, "--help").stdout
        assert "..." not in shown.split("\n", 1)[1] and max(map(len, shown.splitlines())) <= 80


def test_what_is_first_is_a_flag():
    for name, flags in usage._FIRST.items():
        (command,) = (command for path, command in COMMANDS.items() if path[-1] == name)
        assert set(flags.split()) <= {param.name for param in command.params}, name


@pytest.mark.parametrize("path", COMMANDS, ids=" ".join)
def test_json_and_out_are_called_so_everywhere(path):
    flags = {flag for param in COMMANDS[path].params for flag in param.opts}
    assert ("--json" in flags) == (path != ("serve",)) and "--output" not in flags
    # TRL's own name for it, which a recipe has too.
    assert ("--max-completion-length" in flags) == (path == ("train",))


# What each of these says is the same in every command that has it.
MEANINGS = {
    "--level": {"score", "train", "eval verdict"},
    "--against": {"score", "train", "eval verdict"},
    "--samples": {"score", "train"},
    "--baseline": {"saliency", "eval faithfulness"},
    "--map-level": {"saliency"},
    "--map-samples": {"saliency"},
    "--compare": {"eval chair", "eval pope"},
    "--drawn-captions": {"eval detection"},
}
# What they were called before, for the same.
BEFORE = {
    "saliency": {"level": "map-level", "samples": "map-samples", "html": "report"},
    "eval chair": {"against": "compare"},
    "eval pope": {"baseline": "compare"},
    "eval detection": {"samples": "drawn-captions"},
}


def test_a_flag_means_one_thing_everywhere():
    having = {
        flag: {" ".join(path) for path, command in COMMANDS.items() if any(flag in one.opts for one in command.params)}
        for flag in MEANINGS
    }
    assert having == MEANINGS
    for path, names in BEFORE.items():
        command = COMMANDS[tuple(path.split())]
        spelling = command.context_settings["token_normalize_func"]
        assert {name: spelling(name) for name in names} == names
        assert {f"--{name}" for name in names.values()} <= {flag for option in command.params for flag in option.opts}


def test_wrong_use_is_one_sentence(refused):
    # As click says it; of another version it is in quotes.
    told = refused("score", "--no-such-flag").replace(" '", ": ").replace("';", ";")
    assert told == "Error: No such option: --no-such-flag; see copo score --help.\n"
    told = refused("eval", "char")
    assert told.startswith("Error: No such command 'char'. Did you mean 'chair'?")
    assert told.endswith("; see copo eval --help.\n")
    assert "Missing option '--objects'" in refused("pope", "build")


def test_quiet_and_debug_before_the_command(copo, picture):
    plain = copo("score", picture, "a dog", "--json", "--batch-size", "2", "--quiet")
    before = copo("-q", "score", picture, "a dog", "--json", "--batch-size", "2")
    assert before.exit_code == 0 and before.stderr == ""
    assert json.loads(before.stdout)["tokens"] == json.loads(plain.stdout)["tokens"]
    assert "Traceback" in copo("--debug", "score", "none.png", "a dog").stderr
    assert "Traceback" not in copo("score", "none.png", "a dog").stderr


def test_old_spellings_are_taken(copo, tmp_path, picture):
    rows = tmp_path / "rows.jsonl"
    rows.write_text(json.dumps({"image": str(picture), "caption": "a dog"}) + "\n")
    written = []
    for name, flags in (("new.jsonl", ("--out",)), ("old.jsonl", ("--output",))):
        assert copo("score", "--input", rows, *flags, tmp_path / name).exit_code == 0
        written.append((tmp_path / name).read_text())
    assert written[0] == written[1]
    # The first of them is where the result went in earlier versions.
    assert copo("merge", tmp_path / "a.jsonl", tmp_path / "new.jsonl").exit_code == 0
    merged = copo("merge", tmp_path / "new.jsonl", "--out", tmp_path / "b.jsonl", "--json")
    assert json.loads(merged.stdout) == {"out": str(tmp_path / "b.jsonl"), "captions": 1, "failed": 0}
    assert (tmp_path / "a.jsonl").read_text() == (tmp_path / "b.jsonl").read_text()


def test_a_model_by_its_name_is_no_other_model(copo, tmp_path, picture):
    rows = tmp_path / "rows.jsonl"
    lines = [json.dumps({"image": str(picture), "caption": "a dog"}), json.dumps({"image": "none.png", "caption": "x"})]
    rows.write_text("\n".join(lines) + "\n")
    assert copo("score", "--input", rows, "--out", tmp_path / "x.jsonl", "--model", "bundled").exit_code == 1
    again = copo("score", "--input", rows, "--out", tmp_path / "x.jsonl")
    assert again.exit_code == 1 and "Wrote 1 captions" in again.stderr, again.stderr


# -- settings --


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in settings.ENVIRONMENT:
        monkeypatch.delenv(name, raising=False)
    return tmp_path


@pytest.mark.parametrize("name, before", [("copo.toml", ""), ("pyproject.toml", "tool.copo.")])
def test_a_file_says_what_flags_are(copo, folder, picture, name, before):
    head = f"[{before[:-1]}]\n" if before else ""
    (folder / name).write_text(f'{head}seed = 7\nbatch-size = 2\n[{before}score]\nlevel = "word"\n')
    record = json.loads(copo("score", picture, "a dog", "--json").stdout)
    assert {key: record["settings"][key] for key in ("seed", "batch_size", "level")} == {
        "seed": 7, "batch_size": 2, "level": "word"
    }  # fmt: skip
    assert json.loads(copo("score", picture, "a dog", "--json", "--seed", "1").stdout)["settings"]["seed"] == 1
    told = json.loads(copo("env", "--json").stdout)["settings"]
    assert [line.split(" (")[0] for line in told] == ["seed = 7", "batch-size = 2", "score.level = 'word'"]


def test_the_environment_goes_before_the_file_and_flags_before_both(copo, folder, picture, monkeypatch):
    (folder / "copo.toml").write_text('device = "cuda:7"\n')
    assert "no device 'cuda:7'" in copo("score", picture, "a dog").stderr
    monkeypatch.setenv("COPO_DEVICE", "meta:x")
    assert "no device 'meta:x'" in copo("score", picture, "a dog").stderr
    assert copo("score", picture, "a dog", "--device", "cpu").exit_code == 0
    monkeypatch.setenv("COPO_MODEL", str(folder / "none"))
    assert "none" in copo("score", picture, "a dog", "--device", "cpu").stderr
    # Where a model that is named is another mode, it has to be named there.
    assert "give --captions FILE, or --model" in copo("eval", "chair", "--objects", "o.json").stderr


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("model = ", "is no TOML"),
        ("modl = 1", "'modl' outside of a command's table"),
        ("[scor]\nlevel = 1", "a table 'scor', which is no command"),
        ("[score]\nlevl = 1", "'levl' for copo score, which has no such flag"),
        ("[eval.chair]\nlevl = 1", "'levl' for copo eval chair, which has no such flag"),
        ("[saliency]\nlevel = 'embedding'\nmap-level = 'region'", "both 'level' and 'map-level' for copo saliency"),
        ("[train]\nseed = 1", "which takes its settings from a recipe"),
        ("trust-remote-code = true", "give it as a flag, --trust-remote-code"),
        ("[score]\nallow_pickle = true", "give it as a flag, --allow-pickle"),
        ('[score]\noutcome = "mine:judge"', "give it as a flag, --outcome"),
        ("[eval]\nchair = 1", "make it a table"),
    ],
)
def test_a_wrong_file_is_told(refused, folder, text, said):
    (folder / "copo.toml").write_text(text)
    assert said in refused("score", "a.png", "a dog")


def test_help_is_there_whatever_stands_in_the_file(copo, refused, folder):
    (folder / "copo.toml").write_text("model =")
    # Before a flag that may stand in the file, too.
    assert "is no TOML" in refused("pope", "build")
    for words in (["--help"], ["score", "--help"], ["eval", "--help"], ["eval", "chair", "--help-all"], ["--version"]):
        shown = copo(*words)
        assert (shown.exit_code, shown.stderr) == (0, "") and shown.stdout, words


def test_env_tells_what_is_wrong_with_a_file(copo, folder, monkeypatch):
    monkeypatch.setenv("COPO_DEVICE", "cpu")
    (folder / "copo.toml").write_text("[score]\nlevl = 'word'\n")
    shown = copo("env", "--json")
    facts = json.loads(shown.stdout)
    assert shown.exit_code == 0
    assert facts["problems"] == ["copo.toml has 'levl' for copo score, which has no such flag"]
    assert facts["settings"] == ["score.levl = 'word' (copo.toml)", "device = 'cpu' (COPO_DEVICE)"]
    (folder / "copo.toml").write_text("model =")
    lines = copo("env").stdout.splitlines()
    assert lines[-1].startswith("problems     copo.toml is no TOML") and lines[-2].endswith(
        "device = 'cpu' (COPO_DEVICE)"
    )


def test_a_file_may_have_the_old_spellings(copo, folder):
    (folder / "copo.toml").write_text("[saliency]\nlevel = 'letter'\n")
    assert "There is no level of occlusion 'letter'" in copo("saliency", "a.png", "a dog").stderr
    (folder / "copo.toml").write_text("[saliency]\nmap-level = 'pixl'\n")
    assert "There is no level of occlusion 'pixl'" in copo("saliency", "a.png", "a dog").stderr


def test_a_figure_is_no_result(refused, picture, tmp_path):
    assert "names no format" in refused("score", picture, "a dog", "--out", tmp_path / "page.gif")
    with pytest.raises(InputError, match="names no format"):
        Attribution.load(tmp_path / "page.png")


@pytest.mark.parametrize(
    ("file", "text", "said"),
    [
        ("copo.toml", "[score]\nobjects = ['dog']\n", "has ['dog'] for objects, which takes one value"),
        ("copo.toml", "[score]\nalso = 3\n", "has 3 for also, which takes a list of texts"),
        ("copo.toml", "seed = true\n", "has True for seed, which is no switch"),
        ("copo.toml", "x = " + "[" * 5000, "is no TOML"),
        ("pyproject.toml", "[tool]\ncopo = 3\n", "[tool.copo] is no table"),
    ],
)
def test_settings_of_another_kind_are_refused(refused, tmp_path, monkeypatch, file, text, said):
    monkeypatch.chdir(tmp_path)
    (tmp_path / file).write_text(text)
    assert said in refused("score", "a.png", "a dog")


def test_a_pyproject_that_is_not_ours_to_judge(refused, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for text in ("tool = 3\n", "x = " + "[" * 5000):
        (tmp_path / "pyproject.toml").write_text(text)
        assert "a.png" in refused("score", "a.png", "a dog")
