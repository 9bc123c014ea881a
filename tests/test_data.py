"""Folders of clips become one record type, or one sentence that says what is wrong."""

from pathlib import Path

import pytest

from finetune.data import EvalClip, read_data, take
from finetune.scenes.truth import SceneTruth, VideoText, truth_to_json
from workbench.errors import DataError


def touch(*paths: Path) -> None:
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"")


def write_truth(folder: Path, name: str, category: str = "normal") -> None:
    label = int(category != "normal")
    text = VideoText("", "", "")
    truth = SceneTruth(name, 0, 8, 6, 10, 4, "street", {}, label, [label] * 4, category, [], [], [], text, [])
    touch(folder / "truth" / f"{name}.json")
    (folder / "truth" / f"{name}.json").write_text(truth_to_json(truth, {}), encoding="utf-8")


def test_class_folders(tmp_path: Path) -> None:
    touch(
        tmp_path / "Normal/b.mp4",
        tmp_path / "Normal/a.AVI",
        tmp_path / "Car_Accident/a.mp4",
        tmp_path / "Car_Accident/notes.txt",
        tmp_path / "Car_Accident/.partial.mp4",
        tmp_path / "abnormal/x.mkv",
        tmp_path / "empty/readme.md",
    )
    clips = read_data(tmp_path)
    assert [(clip.name, clip.label, clip.category) for clip in clips] == [
        ("Car_Accident/a.mp4", 1, "car accident"),
        ("Normal/a.AVI", 0, None),
        ("Normal/b.mp4", 0, None),
        ("abnormal/x.mkv", 1, None),
    ]
    assert all(clip.path.is_file() and clip.truth is None for clip in clips)


def test_scenes(tmp_path: Path) -> None:
    touch(tmp_path / "clips/one.mp4", tmp_path / "clips/two.mp4")
    write_truth(tmp_path, "one", "abandoned object")
    write_truth(tmp_path, "two")
    one, two = read_data(str(tmp_path))
    assert (one.name, one.label, one.category) == ("one", 1, "abandoned object")
    assert (two.name, two.label, two.category) == ("two", 0, None)
    assert one.truth is not None
    assert one.truth.frame_label.tolist() == [1, 1, 1, 1]
    assert one.truth_path == tmp_path / "truth/one.json"


@pytest.mark.parametrize(("spare", "sentence"), [("clip", "lack a truth"), ("truth", "lack a clip")])
def test_scenes_that_do_not_pair_up_are_refused(tmp_path: Path, spare: str, sentence: str) -> None:
    touch(tmp_path / "clips/one.mp4")
    write_truth(tmp_path, "one")
    if spare == "clip":
        touch(tmp_path / "clips/two.mp4")
    else:
        write_truth(tmp_path, "two")
    with pytest.raises(DataError, match=sentence) as caught:
        read_data(tmp_path)
    assert "'two'" in str(caught.value)


def test_clips_of_which_nothing_is_known_are_taken_only_where_that_is_enough(tmp_path: Path) -> None:
    touch(tmp_path / "b.mp4", tmp_path / "a.mkv", tmp_path / "notes.txt")
    assert [(clip.name, clip.label, clip.truth) for clip in read_data(tmp_path, plain=True)] == [
        ("a.mkv", None, None),
        ("b.mp4", None, None),
    ]
    with pytest.raises(DataError, match="negative class named `normal`"):
        read_data(tmp_path)


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="nowhere does not exist"):
        read_data(tmp_path / "nowhere")


def test_an_empty_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="holds nothing"):
        read_data(tmp_path)


def test_another_layout_is_answered_with_what_was_found_and_what_is_understood(tmp_path: Path) -> None:
    touch(tmp_path / "instructions.jsonl", tmp_path / "videos/a.mp4", tmp_path / "videos/b.mp4")
    with pytest.raises(DataError) as caught:
        read_data(tmp_path)
    message = str(caught.value)
    assert "videos/ (2 videos)" in message
    assert "1 file(s) with .jsonl" in message
    assert "negative class named `normal`" in message


def test_normal_alone_is_not_a_layout(tmp_path: Path) -> None:
    touch(tmp_path / "normal/a.mp4")
    with pytest.raises(DataError, match="normal/"):
        read_data(tmp_path)


def clips_of(*categories: str) -> list[EvalClip]:
    return [
        EvalClip(Path(f"{i}.mp4"), str(i), int(category != "normal"), None if category == "normal" else category)
        for i, category in enumerate(categories)
    ]


def test_a_limit_keeps_both_classes_and_spreads_over_categories() -> None:
    clips = clips_of(*["fight"] * 5, *["fire"] * 5, *["normal"] * 10)
    assert {clip.label for clip in take(clips, 2)} == {0, 1}
    four = take(clips, 4)
    assert sorted(clip.category or "normal" for clip in four) == ["fight", "fire", "normal", "normal"]
    assert four == sorted(four, key=lambda clip: int(clip.name))
    assert take(clips, None) == take(clips, 99) == clips
    assert take(clips, 7) == take(clips, 7)
    assert len(take(clips, 7)) == 7
