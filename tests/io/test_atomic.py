"""Results in place: links, pipes and devices stay what they are, modes are kept, and a full disk loses nothing."""

import os
import stat
import subprocess
import sys
import threading

import pytest

from causal_attrib.errors import InputError
from causal_attrib.io.atomic import check_writable, replace_file, replacing

posix = pytest.mark.skipif(os.name != "posix", reason="Windows has no such files")


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_a_file_is_replaced_and_nothing_is_left(tmp_path):
    path = tmp_path / "x.json"
    path.write_text("old")
    replace_file(path, b"new")
    assert path.read_bytes() == b"new" and names(tmp_path) == ["x.json"]


@posix
def test_what_goes_wrong_leaves_the_old_file(tmp_path):
    path = tmp_path / "x.json"
    path.write_text("old")
    with pytest.raises(KeyboardInterrupt), replacing(path) as file:
        file.write(b"half")
        raise KeyboardInterrupt
    assert path.read_text() == "old" and names(tmp_path) == ["x.json"]


@posix
@pytest.mark.parametrize("mode", [0o600, 0o640])
def test_the_mode_is_kept(tmp_path, mode):
    path = tmp_path / "x.json"
    path.write_text("old")
    path.chmod(mode)
    replace_file(path, b"new")
    assert stat.S_IMODE(path.stat().st_mode) == mode


@posix
def test_a_link_stays_one_and_what_it_points_to_is_replaced(tmp_path):
    (tmp_path / "other").mkdir()
    target, link = tmp_path / "other" / "x.json", tmp_path / "link.json"
    target.write_text("old")
    link.symlink_to(target)
    check_writable(link)
    replace_file(link, b"new")
    assert link.is_symlink() and target.read_bytes() == b"new"
    assert names(tmp_path) == ["link.json", "other"] and names(tmp_path / "other") == ["x.json"]


@posix
def test_a_link_laid_where_the_new_file_is_written_is_not_followed(tmp_path):
    victim = tmp_path / "victim"
    victim.write_text("mine")
    (tmp_path / ".x.json.part").symlink_to(victim)
    with replacing(tmp_path / "x.json") as file:
        file.write(b"new")
    assert victim.read_text() == "mine" and (tmp_path / "x.json").read_bytes() == b"new"
    assert not (tmp_path / "x.json").is_symlink()


@posix
def test_a_pipe_is_written_to(tmp_path):
    pipe, read = tmp_path / "x.json", []
    os.mkfifo(pipe)
    check_writable(pipe)
    reader = threading.Thread(target=lambda: read.append(pipe.read_bytes()))
    reader.start()
    replace_file(pipe, b"through it")
    reader.join()
    assert read == [b"through it"] and stat.S_ISFIFO(pipe.stat().st_mode)


@posix
def test_devices_stay_devices(tmp_path):
    for device in ("/dev/null", "/dev/stdout"):
        check_writable(device)
    replace_file("/dev/null", b"gone")
    assert stat.S_ISCHR(os.stat("/dev/null").st_mode)
    program = "from causal_attrib.io.atomic import replace_file; replace_file('/dev/stdout', b'told')"
    assert subprocess.check_output([sys.executable, "-c", program]) == b"told"
    with (tmp_path / "out").open("wb") as file:
        subprocess.run([sys.executable, "-c", program], stdout=file, check=True)
    assert (tmp_path / "out").read_bytes() == b"told"


@posix
def test_a_full_disk_keeps_the_old_file(tmp_path, most_bytes):
    path = tmp_path / "x.json"
    path.write_text("old")
    with most_bytes(1000), pytest.raises(InputError, match=r"x.json cannot be written .*; make room and run the same"):
        replace_file(path, b"x" * 5000)
    assert path.read_text() == "old" and names(tmp_path) == ["x.json"]


@pytest.mark.parametrize("name", ["folder", "none/x.json", "file/x.json", "n" * 300, "a\0b"])
def test_what_cannot_be_written_is_told_before(tmp_path, name):
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").write_text("")
    for write in (check_writable, lambda path: replace_file(path, b"")):
        with pytest.raises(InputError, match="cannot be written|is a folder"):
            write(tmp_path / name)
