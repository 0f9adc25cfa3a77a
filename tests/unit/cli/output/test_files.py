"""Names of output files, and what is known before any work."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from neuron_whisper.cli.output.files import OutputFiles, check_directory, choose_stems, plan_output_files
from neuron_whisper.errors import InvalidOption, OutputUnwritable


@pytest.mark.parametrize(
    ("files", "stems"),
    [
        (["talk.mp3"], ["talk"]),
        (["talk.v2.mp3", "-"], ["talk.v2", "stdin"]),
        (["/a/x.mp3", "/b/x.wav", "/c/y.wav"], ["x.mp3", "x.wav", "y"]),
        (["/a/x.mp3", "/b/x.mp3"], ["a-x.mp3", "b-x.mp3"]),
        (["/1/a/x.mp3", "/2/a/x.mp3", "/2/a/x.wav"], ["1-a-x.mp3", "2-a-x.mp3", "2-a-x.wav"]),
        (["/a/X.mp3", "/a/x.wav"], ["X.mp3", "x.wav"]),  # one name on file systems that ignore case
        (["/a/x.mp3", "/a/X.mp3"], ["x.mp3", "X.mp3-2"]),
        (["/a/x.mp3", "/b/x.wav", "/c/x.mp3.ogg"], ["x.mp3-2", "x.wav", "x.mp3"]),
        (["-", "stdin.wav"], ["stdin", "stdin.wav"]),
    ],
)
def test_inputs_with_one_stem_are_told_apart_and_others_keep_theirs(files: list[str], stems: list[str]) -> None:
    assert choose_stems(files) == stems


@given(
    st.lists(st.from_regex(r"/([abAB]/){0,2}[xyXY](\.(wav|mp3|mp3\.ogg))?", fullmatch=True), unique=True, max_size=8)
)
def test_no_two_inputs_have_one_name_even_where_case_is_ignored(files: list[str]) -> None:
    stems = choose_stems(files)
    assert len({stem.casefold() for stem in stems}) == len(files)
    assert not any("/" in stem for stem in stems)


def test_a_file_that_is_given_twice_has_one_output(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    planned = plan_output_files(["a.wav", str(tmp_path / "a.wav"), "b.wav"], tmp_path, ["txt"])
    assert [output.stem for output in planned.values()] == ["a", "b"]


def make_output(directory: Path, stem: str, *formats: str) -> OutputFiles:
    return OutputFiles(directory=directory, stem=stem, formats=formats or ("txt",))


def test_the_paths_are_those_of_the_formats(tmp_path: Path) -> None:
    names = [path.name for path in make_output(tmp_path, "talk.v2", "srt", "verbose_json").paths]
    assert names == ["talk.v2.srt", "talk.v2.json"]


@pytest.mark.parametrize("stem", ["a" * 252, "ä" * 126])
def test_a_name_of_more_than_255_bytes_is_refused_beforehand(tmp_path: Path, stem: str) -> None:
    make_output(tmp_path / "new", stem[:-1]).check()
    with pytest.raises(OutputUnwritable, match="255"):
        make_output(tmp_path / "new", stem).check()


def test_a_name_that_a_directory_has_is_refused_beforehand(tmp_path: Path) -> None:
    (tmp_path / "a.txt").mkdir()
    with pytest.raises(OutputUnwritable):
        make_output(tmp_path, "a").check()


def test_an_output_directory_that_can_be_made_is_allowed_and_not_made_yet(tmp_path: Path) -> None:
    check_directory(tmp_path / "new" / "deeper")
    assert list(tmp_path.iterdir()) == []


def test_an_output_directory_below_a_file_or_a_broken_link_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    (tmp_path / "link").symlink_to(tmp_path / "gone")
    for directory in (tmp_path / "file", tmp_path / "file" / "out", tmp_path / "link", Path("/proc/version/out")):
        with pytest.raises(InvalidOption) as refused:
            check_directory(directory)
        assert refused.value.field == "output_dir"


@pytest.mark.skipif(os.geteuid() == 0, reason="not proved as root: that a directory closed to this user is refused")
def test_a_directory_that_this_user_cannot_write_is_refused(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(InvalidOption):
        check_directory(tmp_path / "out")
    tmp_path.chmod(0o700)
