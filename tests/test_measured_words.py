"""Colours, ways and times that are measured: under drawn masks with known truth, and in what a language model says."""

import shutil
import threading
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from finetune.scenes import sample_scene
from finetune.scenes.phrases import NORMAL_ANALYSES
from workbench.analysis import analyse
from workbench.colours import COLOUR_WORDS, WAYS, Measured, measure, said_rightly, way_of
from workbench.conversation import Conversation
from workbench.records import Event
from workbench.sighting import BEFORE_S, Sighting, look_around, moments_of
from workbench.stack.loading import ModelStack
from workbench.steadiness import steadiness
from workbench.video import Clip
from workbench.wording import MeasuredWords, when_of

ASSETS = Path(__file__).parents[1] / "assets"
TRUE_WAY = dict(
    zip(("left to right", "right to left", "towards the camera", "away from the camera"), WAYS, strict=True)
)


def figure(colour: tuple[int, int, int], trousers: tuple[int, int, int]) -> tuple[np.ndarray, np.ndarray]:
    """A street with a figure of 20 × 60 pixels: head, jacket, trousers; and its mask."""
    picture = np.full((120, 160, 3), (150, 150, 145), np.uint8)
    picture[:20] = (230, 235, 240)
    picture[60:70, 100:150] = (190, 60, 40)
    mask = np.zeros((120, 160), bool)
    mask[40:100, 30:50] = True
    picture[mask] = (210, 170, 140)
    picture[52:72, 30:50], picture[72:96, 30:50] = colour, trousers
    return picture, mask


def moved(track: Sequence[tuple[int, int, int, int]]) -> dict[int, np.ndarray]:
    """Masks of boxes (x, y, width, height) in a picture of 320 × 240."""
    masks = {}
    for i, (x, y, width, height) in enumerate(track):
        masks[i] = np.zeros((240, 320), bool)
        masks[i][y : y + height, x : x + width] = True
    return masks


@pytest.mark.parametrize(
    ("colour", "name"),
    [
        ((200, 30, 40), "red"), ((240, 140, 30), "orange"), ((230, 215, 60), "yellow"), ((40, 140, 60), "green"),
        ((40, 70, 190), "blue"), ((120, 50, 150), "purple"), ((240, 140, 180), "pink"), ((110, 70, 40), "brown"),
        ((240, 240, 240), "white"), ((130, 130, 132), "grey"), ((20, 20, 24), "black"),
    ],
)  # fmt: skip
def test_each_basic_colour_has_its_name_by_day_and_at_dusk(colour: tuple[int, int, int], name: str) -> None:
    picture, mask = figure(colour, (40, 70, 190))
    for light in (1.0, 0.6):
        dim = (picture * light).astype(np.uint8)
        assert measure({0: dim}, {0: mask}).colours["upper"] == name
        assert measure({0: dim}, {0: mask}).colours["lower"] == "blue"


def test_a_picture_without_colour_has_light_and_dark() -> None:
    picture, mask = figure((240, 240, 240), (20, 20, 20))
    grey = picture.mean(-1, keepdims=True).astype(np.uint8).repeat(3, -1)
    found = measure({0: grey}, {0: mask}).colours
    assert (found["upper"], found["lower"]) == ("light", "dark")


def test_nothing_is_measured_where_nothing_is_seen() -> None:
    picture, mask = figure((200, 30, 40), (20, 20, 20))
    assert measure({0: picture}, {0: np.zeros_like(mask)}) == Measured({}, None)


def test_colours_and_ways_of_the_street_world_are_measured_right() -> None:
    """Against the truth of whole scenes, in every light: who wears what, and where they go."""
    colours, ways = [], []
    for seed in range(970_200, 970_212):
        scene = sample_scene(seed, seconds=(6, 8))
        for entity in scene.truth.entities:
            if entity.kind != "person" or entity.first_frame < 0:
                continue
            picked = np.unique(np.linspace(entity.first_frame, entity.last_frame, 9).astype(int)).tolist()
            drawn = {i: scene.render(i) for i in picked}
            track = {i: frame.ids == entity.id for i, frame in drawn.items() if (frame.ids == entity.id).sum() >= 40}
            if not track:
                continue
            found = measure({i: frame.rgb for i, frame in drawn.items()}, track)
            colours += [found.colours.get(part) == entity.facts[part] for part in ("upper", "lower")]
            ways.append(found.way == TRUE_WAY.get(entity.facts["direction"]))
    assert len(colours) > 60
    assert np.mean(colours) > 0.95
    assert np.mean(ways) > 0.8


def test_ways_across_along_and_in_place() -> None:
    assert way_of(moved([(20 + 20 * t, 100, 20, 60) for t in range(9)])) == "from left to right"
    assert way_of(moved([(200 - 15 * t, 100, 20, 60) for t in range(9)])) == "from right to left"
    assert way_of(moved([(150, 60, 10 + 2 * t, 30 + 6 * t) for t in range(9)])) == "towards the camera"
    assert way_of(moved([(150, 60, 26 - 2 * t, 78 - 6 * t) for t in range(9)])) == "away from the camera"
    assert way_of(moved([(150, 100, 20, 60)] * 9)) is None
    assert way_of(moved([(150, 100, 20, 60), (150, 140, 60, 20)])) is None, "who falls goes nowhere"
    assert way_of(moved([(150, 100, 20, 60)])) is None


def test_a_caption_is_put_right_and_otherwise_left_alone() -> None:
    seen = Measured({"upper": "orange", "lower": "grey", "whole": "grey"}, "from right to left")
    said = "a person in a red jacket and black trousers with a brown backpack"
    assert said_rightly(said, seen) == "a person in an orange jacket and grey trousers with a brown backpack"
    assert said_rightly("a blue car", seen) == "a grey car"
    assert said_rightly("runs from left to right", seen) == "runs from right to left"
    assert said_rightly("runs towards the camera", Measured({}, None)) == "runs"
    assert said_rightly("falls to the ground", seen) == "falls to the ground"
    assert said_rightly("an orange tree", Measured({"upper": "red"}, None)) == "an orange tree"


def test_who_keeps_his_height_and_his_way_is_steady() -> None:
    walker = moved([(20 + 12 * t, 100, 20, 60) for t in range(7)])
    assert steadiness(walker) == pytest.approx(1.0)
    assert steadiness(moved([(60, 100, 20, 60)] * 7)) == pytest.approx(1.0)
    breathing = moved([(60, 100 + 20 * (t % 2), 20, 60 - 20 * (t % 2)) for t in range(7)])
    jumping = moved([(60, 100 + 20 * (t % 2), 20, 60) for t in range(7)])
    assert steadiness(breathing) < 0.2
    assert steadiness(jumping) < 0.1
    small = moved([(20 + 4 * t, 100, 7, 20) for t in range(7)])
    assert steadiness(small) == pytest.approx(0.5)
    assert steadiness(moved([(20, 100, 20, 60), (30, 100, 20, 60)])) == 0.0, "two frames tell nothing"
    lost = {i: mask if i in (2, 3, 4) else np.zeros_like(mask) for i, mask in walker.items()}
    assert steadiness(lost) == pytest.approx(1.0), "frames in which nothing is seen do not count"


def sighting(upper: str, lower: str, way: str | None = None, trust: float = 1.0) -> Sighting:
    return Sighting(Measured({"upper": upper, "lower": lower, "whole": upper}, way), 2.5, steady=trust, trust=trust)


def spoken(words: MeasuredWords, stack: ModelStack, sentence: str) -> str:
    """What comes out when a model wants to say a sentence: at each token it prefers its own, then all others alike."""
    backbone, ids = stack.backbone, []
    for wanted in backbone.text_ids(sentence):
        logits = torch.zeros(backbone.embed_ids(torch.tensor([0])).shape[0] + 4096)
        logits[wanted] = 1.0
        ids.append(words(logits, ids))
    return backbone.decode(ids)


def test_only_colours_that_were_seen_are_spoken_of(bundled_stack: ModelStack) -> None:
    looks: list[int] = []

    def look() -> list[Sighting]:
        looks.append(1)
        return [sighting("purple", "grey"), sighting("white", "black")]

    words = MeasuredWords(bundled_stack.backbone, look, None)
    text = spoken(words, bundled_stack, "A person in a red jacket and green trousers runs; the person in red falls.")
    assert looks == [1], "looked once, and only when a colour came up"
    first = "purple" if "purple jacket" in text else "white"
    lower = {"purple": "grey", "white": "black"}[first]
    assert text.endswith(f"person in a {first} jacket and {lower} trousers runs; the person in {first} falls.")


def test_a_second_person_is_another_one(bundled_stack: ModelStack) -> None:
    words = MeasuredWords(
        bundled_stack.backbone, lambda: [sighting("purple", "grey"), sighting("white", "black")], None
    )
    text = spoken(words, bundled_stack, "A person in a red jacket hits a person in a red jacket.")
    assert {"purple", "white"} <= set(text.split())


def test_a_cyclist_is_wider_than_a_walker_and_a_car_wider_still(bundled_stack: ModelStack) -> None:
    rider = replace(sighting("purple", "grey"), tall=0.9)
    car = Sighting(Measured({"upper": "black", "lower": "black", "whole": "yellow"}, None), tall=0.4)
    seen = [sighting("white", "black"), rider, car]
    words = MeasuredWords(bundled_stack.backbone, lambda: [rider, car], None)
    assert "a purple jacket and grey" in spoken(words, bundled_stack, "A cyclist in a red jacket and blue trousers.")
    words = MeasuredWords(bundled_stack.backbone, lambda: seen, None)
    assert "a white jacket and black" in spoken(words, bundled_stack, "A person in a red jacket and blue trousers.")
    assert any(f"A {c} car" in spoken(words, bundled_stack, "A red car.") for c in ("yellow", "purple"))


def test_of_two_sightings_the_trusted_one_is_spoken_of(bundled_stack: ModelStack) -> None:
    seen = [sighting("purple", "grey", trust=0.01), sighting("white", "black", trust=0.9)]
    words = MeasuredWords(bundled_stack.backbone, lambda: seen, None)
    assert "a white jacket and black" in spoken(words, bundled_stack, "A person in a red jacket and blue trousers.")


def test_in_an_event_who_stands_in_the_heat_is_spoken_of(bundled_stack: ModelStack) -> None:
    seen = [sighting("purple", "grey"), replace(sighting("white", "black", trust=0.5), heat=0.9)]
    said = "A person in a red jacket and blue trousers."
    lively = MeasuredWords(bundled_stack.backbone, lambda: seen, None)
    assert "a white jacket and black" in spoken(lively, bundled_stack, said)
    calm = MeasuredWords(bundled_stack.backbone, lambda: seen, None, calm=True)
    assert "a purple jacket and grey" in spoken(calm, bundled_stack, said)


def test_who_moves_walks_his_way_and_who_stays_does_not(bundled_stack: ModelStack) -> None:
    said = "A person in a red jacket and blue trousers {}."
    for way, model_says, comes_out in (
        ("from right to left", "talks", "trousers walks."),
        ("from right to left", "walks from left to right", "trousers walks from right"),
        ("towards the camera", "walks from left to right", "trousers walks towards left"),
        (None, "walks", "trousers "),
        ("from right to left", "runs away from the fire", "trousers runs away from the fire."),
        ("from right to left", "is running fast from left to right", "trousers is running fast from right"),
        ("away from the camera", "is running fast from left to right", "trousers is running fast away left"),
        ("towards the camera", "flees from the fire", "trousers flees from the fire."),
        ("from right to left", "walks away", "trousers walks away."),
        ("from right to left", "runs towards the exit", "trousers runs towards the exit."),
        ("from right to left", "falls to the ground", "trousers falls to the ground."),
        ("towards the camera", "falls. A thief runs from left to right", "A thief runs from left to right."),
    ):
        words = MeasuredWords(bundled_stack.backbone, lambda way=way: [sighting("white", "black", way)], None)
        text = spoken(words, bundled_stack, said.format(model_says))
        assert comes_out in text, text
        assert way or "walks" not in text
    words = MeasuredWords(bundled_stack.backbone, lambda: [sighting("white", "black", WAYS[0], trust=0.05)], None)
    assert "talks" in spoken(words, bundled_stack, said.format("talks")), "hardly seen: the model's word stands"
    passing = replace(sighting("white", "black"), settled=False)
    words = MeasuredWords(bundled_stack.backbone, lambda: [passing], None)
    assert "trousers walks" in spoken(words, bundled_stack, said.format("walks")), "seen too shortly to say he stays"


def test_the_words_remember_of_whom_the_dialogue_spoke(bundled_stack: ModelStack) -> None:
    seen = [sighting("red", "blue"), sighting("green", "black")]
    said = "The person in yellow falls."
    for before, again in (("A person in a green jacket walks.", "in green"), ("a man in red", "in red")):
        words = MeasuredWords(bundled_stack.backbone, lambda: seen, None)
        words.remember([before])
        assert again in spoken(words, bundled_stack, said)


def test_a_backpack_is_not_spoken_of(bundled_stack: ModelStack) -> None:
    words = MeasuredWords(bundled_stack.backbone, lambda: [sighting("white", "black")], None)
    text = spoken(words, bundled_stack, "A person in a red jacket and blue trousers with a green backpack.")
    assert "trousers with" not in text
    tokens = {word: bundled_stack.backbone.text_ids(f" {word}")[0] for word in ("with", "walks", "trousers")}
    logits = torch.zeros(4096)
    logits[tokens["with"]], logits[tokens["walks"]] = 2.0, 1.0
    ids = bundled_stack.backbone.text_ids("A person in a white jacket and black trousers")
    spoken(words, bundled_stack, "A person in a white jacket and black")
    assert words(logits, ids) != tokens["walks"], "what is said instead follows the other rules: he stays in place"


def test_of_a_calm_clip_only_the_trusted_are_told(bundled_stack: ModelStack) -> None:
    said = "A person in a red jacket and blue trousers bends and a person in a green jacket"
    walker, ghost = sighting("white", "black", WAYS[1]), sighting("pink", "grey", trust=0.05)
    calm = MeasuredWords(bundled_stack.backbone, lambda: [walker, ghost], None, calm=True)
    text = spoken(calm, bundled_stack, said)
    assert "a white jacket and black trousers walks." in text
    other = sighting("pink", "grey", None)
    calm = MeasuredWords(bundled_stack.backbone, lambda: [other, walker], None, calm=True)
    text = spoken(calm, bundled_stack, said)
    assert "a white jacket and black trousers walks and a person in a pink jacket" in text
    lively = MeasuredWords(bundled_stack.backbone, lambda: [walker, ghost], None)
    assert "trousers bends and a person in a pink jacket" in spoken(lively, bundled_stack, said)


@pytest.mark.parametrize("seen", [[], [sighting("white", "black", WAYS[1])]])
def test_sentences_about_nobody_keep_their_words(bundled_stack: ModelStack, seen: list[Sighting]) -> None:
    calm = MeasuredWords(bundled_stack.backbone, lambda: seen, None, calm=True)
    spoken(calm, bundled_stack, "A person in a red jacket and blue trousers walks and a person in a green jacket.")
    for analysis in NORMAL_ANALYSES:
        said = analysis.format(place="on the street")
        assert spoken(calm, bundled_stack, said).strip() == said


def test_each_answer_begins_anew_with_the_people_that_are_sure(bundled_stack: ModelStack) -> None:
    ghost = sighting("pink", "grey", trust=0.01)
    calm = MeasuredWords(bundled_stack.backbone, lambda: [sighting("white", "black", WAYS[1]), ghost], None, calm=True)
    for _ in range(2):
        assert "white" in spoken(calm, bundled_stack, "A person in a red jacket and blue trousers walks.")


def test_a_car_is_no_person_to_be_told_of(bundled_stack: ModelStack) -> None:
    seen = [sighting("white", "black", WAYS[1]), replace(sighting("red", "red"), tall=0.5), sighting("pink", "grey")]
    seen[2] = replace(seen[2], steady=0.03)
    calm = MeasuredWords(bundled_stack.backbone, lambda: seen, None, calm=True)
    said = "A person in a red jacket and blue trousers walks and a person in a green jacket"
    assert "trousers walks." in spoken(calm, bundled_stack, said)


def test_words_stay_as_they_are_where_nothing_was_measured(bundled_stack: ModelStack) -> None:
    words = MeasuredWords(bundled_stack.backbone, list, None)
    said = "A person in a red jacket and green trousers runs, at the end of the clip."
    assert spoken(words, bundled_stack, said).strip() == said


def test_the_time_of_an_event_is_its_own(bundled_stack: ModelStack) -> None:
    words = MeasuredWords(bundled_stack.backbone, list, "beginning")
    assert "the beginning of the clip" in spoken(words, bundled_stack, "It happens at the end of the clip.")
    assert "end up" in spoken(words, bundled_stack, "They end up here.")


def test_an_event_begins_in_a_third_of_the_clip(tiny_stack: ModelStack, tmp_path: Path) -> None:
    with Clip.open(next((ASSETS / "samples" / "clips").glob("*.mp4"))) as clip:
        analysis = analyse(clip, tiny_stack, cache_dir=tmp_path)
    length = analysis.clip.duration_s
    for share, word in ((0.0, "beginning"), (0.4, "middle"), (0.7, "end")):
        event = Event(share * length, length, share * length, 0.9)
        assert when_of(replace(analysis, events=[event]), None) == word
    assert when_of(replace(analysis, events=[]), None) is None
    assert when_of(replace(analysis, events=[event]), (0.0, 1.0)) is None


def test_every_event_is_looked_at(tiny_stack: ModelStack, tmp_path: Path) -> None:
    with Clip.open(next((ASSETS / "samples" / "clips").glob("*.mp4"))) as clip:
        analysis = analyse(clip, tiny_stack, cache_dir=tmp_path)
    events = [Event(start, start + 1.5, start + 1, 0.9) for start in (1.0, 3.5, 6.0)]
    seen_s = analysis.dense.time_s[moments_of(replace(analysis, events=events), None)]
    for event in events:
        assert np.abs(seen_s - event.peak_s).min() < 0.2, "its peak"
        assert ((seen_s >= event.start_s) & (seen_s <= event.end_s)).sum() >= 2


def test_of_a_span_only_its_own_moments_are_looked_at(tiny_stack: ModelStack, tmp_path: Path) -> None:
    with Clip.open(next((ASSETS / "samples" / "clips").glob("*.mp4"))) as clip:
        analysis = analyse(clip, tiny_stack, cache_dir=tmp_path)
    long = replace(analysis, events=[Event(1.0, 7.5, 2.0, 0.9)])
    seen_s = analysis.dense.time_s[moments_of(long, (5.0, 7.0))]
    assert seen_s.min() >= 5.0 - BEFORE_S
    assert seen_s.max() <= 7.0
    first, second = analysis.dense.time_s[:2]
    quiet = replace(analysis, events=[])
    assert moments_of(quiet, (first + 0.55 * (second - first), first + 0.6 * (second - first))) in ([0], [1])


def test_the_dialogue_speaks_of_people_who_are_there(bundled_stack: ModelStack, tmp_path: Path) -> None:
    """On the robbery sample every colour of the description is one that was measured in the clip."""
    path = next((ASSETS / "samples" / "clips").glob("robbery*.mp4"))
    with Clip.open(path) as clip:
        analysis = analyse(clip, bundled_stack, cache_dir=tmp_path)
        seen = look_around(clip, bundled_stack, analysis)
        assert seen
        assert len(moments_of(analysis, None)) >= 3
    answer = Conversation(bundled_stack, analysis).say("description").answer
    measured = {colour for one in seen for colour in one.measured.colours.values()}
    said = {word for word in COLOUR_WORDS if f" {word} " in answer}
    assert said
    assert said <= measured
    copy = shutil.copy(path, tmp_path / "lent.mp4")
    lent = replace(analysis, clip=replace(analysis.clip, path=str(copy)))
    prepared = Conversation(bundled_stack, lent)
    looking = threading.Thread(target=prepared.look_ahead)
    looking.start()
    looking.join()
    copy.unlink()
    assert prepared.say("description").answer == answer, "what was measured ahead needs the file no more"


@pytest.mark.parametrize("name", ["robbery", "normal"])
def test_a_clip_that_has_gone_leaves_the_words_alone(bundled_stack: ModelStack, tmp_path: Path, name: str) -> None:
    path = next((ASSETS / "samples" / "clips").glob(f"{name}*.mp4"))
    with Clip.open(path) as clip:
        analysis = analyse(clip, bundled_stack, cache_dir=tmp_path)
    gone = replace(analysis, clip=replace(analysis.clip, path=str(tmp_path / "gone.mp4")))
    plain = replace(bundled_stack, profile=replace(bundled_stack.profile, measured_words=False))
    told = Conversation(bundled_stack, gone).say("analysis").answer
    assert told == Conversation(plain, gone).say("analysis").answer
    assert Conversation(bundled_stack, gone).say("description").answer


def test_another_file_in_the_place_of_the_clip_is_not_measured(bundled_stack: ModelStack, tmp_path: Path) -> None:
    robbery, other = (next((ASSETS / "samples" / "clips").glob(f"{name}*.mp4")) for name in ("robbery", "normal"))
    with Clip.open(robbery) as clip:
        analysis = analyse(clip, bundled_stack, cache_dir=tmp_path / "features")
    place = tmp_path / "clip.mp4"
    talk = Conversation(bundled_stack, replace(analysis, clip=replace(analysis.clip, path=str(place))))
    shutil.copy(other, place)
    assert talk._look_around() == []
    shutil.copy(robbery, place)
    assert talk._look_around()
