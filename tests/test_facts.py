"""Facts of answers against what is true: right, wrong, missing, in the truth's own words and in other people's."""

from dataclasses import replace

import numpy as np
import pytest

from finetune.facts import KINDS, Fact, FactCheck, check_answer, check_caption, precision_of, recall_of
from finetune.reading import read, verdict
from finetune.scenes.truth import EntityTruth, EventTruth, SceneTruth, VideoText, read_truth
from tests.conftest import REPOSITORY
from workbench.instances import parse_caption

SAMPLES = sorted((REPOSITORY / "assets/samples/truth").glob("*.json"))


def person(number: int, role: str, upper: str, lower: str, motion: str, direction: str = "in place") -> EntityTruth:
    facts = {"kind": "person", "upper": upper, "lower": lower, "direction": direction}
    looks = f"a person in a {upper} jacket and {lower} trousers"
    return EntityTruth(number, "person", role, looks, motion, facts, 0, 99)


def scene(category: str, entities: list[EntityTruth], involved: list[int], **facts: object) -> SceneTruth:
    """100 frames, 10 a second; the event runs from 4.0 to 6.0 s."""
    label = np.zeros(100, np.uint8)
    label[40:60] = bool(involved)
    events = [EventTruth(category, 40, 60, involved, facts={"category": category, "when": "middle", **facts})]
    text = VideoText("", "", "")
    return SceneTruth(
        *("scene", 0, 320, 240, 10, 100, "plaza", {}, int(bool(involved)), label, category),
        *(events if involved else [], entities, [], text, []),
    )


@pytest.fixture
def robbery() -> SceneTruth:
    bag = EntityTruth(3, "bag", "object", "a brown bag", "is snatched", {"kind": "bag", "colour": "brown"}, 0, 99)
    robber = person(1, "perpetrator", "red", "black", "snatches a bag and runs away", "left to right")
    victim = person(2, "victim", "blue", "grey", "loses a bag to a robber", "left to right")
    walker = person(4, "bystander", "green", "white", "walks from right to left", "right to left")
    return scene("robbery", [robber, victim, bag, walker], [1, 2, 3], direction="left to right")


@pytest.fixture
def calm() -> SceneTruth:
    walker = person(1, "bystander", "green", "white", "walks from right to left", "right to left")
    return scene("normal", [walker, person(2, "bystander", "red", "black", "sits")], [])


def states(check: FactCheck, state: str) -> set[tuple[str, str]]:
    return {(fact.kind, fact.value) for fact in check.facts if fact.state == state}


def kinds(check: FactCheck, state: str) -> list[str]:
    return sorted(fact.kind for fact in check.facts if fact.state == state)


@pytest.mark.parametrize("path", SAMPLES, ids=[path.stem for path in SAMPLES])
def test_the_true_answers_of_drawn_scenes_are_right_and_complete(path) -> None:
    truth = read_truth(path)
    check = FactCheck()
    for kind in ("judgement", "description", "analysis"):
        check += check_answer(truth, kind, getattr(truth.video, kind))
    for entity in truth.entities:
        if entity.first_frame >= 0:
            caption = f"Role: {entity.role}. Appearance: {entity.appearance}. Motion: {entity.motion}."
            check += check_caption(truth, entity.id, parse_caption(caption))
    assert [fact for fact in check.facts if fact.state != "right"] == []
    assert recall_of(check.table()) == precision_of(check.table()) == 1.0


@pytest.mark.parametrize("path", SAMPLES, ids=[path.stem for path in SAMPLES])
def test_the_answers_of_another_scene_are_mostly_wrong(path) -> None:
    other = read_truth(SAMPLES[SAMPLES.index(path) - 1])
    truth = read_truth(path)
    tables = [check_answer(truth, kind, getattr(other.video, kind)).table() for kind in ("description", "judgement")]
    assert precision_of(np.stack(tables)) < 0.7
    assert recall_of(np.stack(tables)) < 0.6


@pytest.mark.parametrize(
    "answer",
    [
        "A person in a red jacket and black trousers snatches a brown bag from a person in a blue jacket and grey "
        "trousers and runs away from left to right. It happens in the picture's centre, in the middle of the clip.",
        "Between 4 and 6 seconds a man wearing a crimson coat and black pants grabs a brown handbag from a woman in "
        "navy with gray jeans and flees to the right.",
        "A woman in a blue shirt and grey trousers is robbed by a man in a red hoodie and black jeans, who escapes "
        "towards the right with a brown suitcase at 4.5 s.",
    ],
)
def test_a_right_description_in_several_wordings(robbery: SceneTruth, answer: str) -> None:
    check = check_answer(robbery, "description", answer)
    assert [fact for fact in check.facts if fact.state != "right"] == []
    assert sorted(set(check.asked)) == sorted({"category", "who", "whom", "colour", "motion", "direction", "when"})
    assert check.asked.count("colour") == 5  # two garments each, and the bag


def test_swapped_roles_show_in_the_colours(robbery: SceneTruth) -> None:
    answer = (
        "A person in a blue jacket and grey trousers snatches a brown bag from a person in a red jacket and black "
        "trousers and runs away from left to right in the middle of the clip."
    )
    check = check_answer(robbery, "description", answer)
    assert kinds(check, "wrong") == ["colour"] * 4
    assert kinds(check, "missing") == ["colour"] * 4


def test_a_partial_and_partly_wrong_description(robbery: SceneTruth) -> None:
    check = check_answer(robbery, "description", "A car drives from right to left at the end of the clip.")
    # no car is there, so what it does is no fact of its own; the category its motion suggests is
    assert states(check, "wrong") == {("who", "some car"), ("category", "driving"), ("when", "end")}
    assert set(kinds(check, "missing")) == {"category", "who", "whom", "colour", "motion", "direction", "when"}
    partial = check_answer(robbery, "description", "Somebody in red steals a bag.")
    assert kinds(partial, "wrong") == []
    assert sorted({fact.kind for fact in partial.facts if fact.state == "right"}) == [
        "category",
        "colour",
        "motion",
        "who",
    ]
    assert set(kinds(partial, "missing")) == {"whom", "colour", "direction", "when"}


def test_verdicts_are_read_with_their_negation(robbery: SceneTruth, calm: SceneTruth) -> None:
    denied = check_answer(robbery, "judgement", "No, nobody is robbed and there is no sign of violence.")
    assert states(denied, "wrong") == {("anomaly", "no")}
    assert states(denied, "missing") == {("anomaly", "yes"), ("category", "robbery")}
    right = check_answer(calm, "analysis", "There is no fighting or robbery, and no reason for an alarm.")
    assert [fact.state for fact in right.facts] == ["right"]
    false_alarm = check_answer(calm, "judgement", "Yes, there is an anomaly: robbery.")
    assert states(false_alarm, "wrong") == {("anomaly", "yes"), ("category", "robbery")}
    assert check_answer(calm, "judgement", "Hard to say.").facts == (Fact("anomaly", "no", "missing"),)
    assert verdict("The event is not normal.") is True
    assert verdict("Nothing unusual can be seen. An abnormal word.") is False
    assert verdict("A person walks.") is None


@pytest.mark.parametrize(
    ("answer", "categories"),
    [
        ("Two men exchange blows.", {"fighting"}),
        ("A man attacks a woman, who falls to the ground.", {"assault"}),
        ("A car hits a pedestrian, who is thrown to the ground.", {"collision"}),
        ("A man strikes a woman.", {"assault"}),
        ("A man pushes a woman and she falls down.", {"assault"}),
        ("A suitcase is left behind unattended.", {"abandoned object"}),
        ("A bag is put down and picked up again.", {"abandoned object"}),  # passive, so not seen as harmless
        ("Somebody puts a bag down and picks it up again.", set()),
        ("A ball of fire and a blast.", {"explosion"}),
        ("The fire brigade should be called.", set()),
        ("It may start a fire; somebody could be robbed.", set()),
        ("There is neither a fight nor a fire: no fight, no fire.", {"fighting"}),  # "neither" is not understood
        ("A woman collapses.", {"falling"}),
    ],
)
def test_categories_are_found_by_what_happens(answer: str, categories: set[str]) -> None:
    assert read(answer).categories == categories


@pytest.mark.parametrize(
    ("words", "right"),
    [
        ("at 4.5 s", True),
        ("from 3.2 to 6.8 seconds", True),  # a second of tolerance
        ("between 1 and 9 seconds", False),
        ("after about 9 seconds", False),
        ("in the middle of the video", True),
        ("at the beginning", True),  # it begins at 0.36 of the clip, close to the first third
        ("at the end of the clip", False),
    ],
)
def test_times_have_a_tolerance(robbery: SceneTruth, words: str, right: bool) -> None:
    truth = replace(robbery, events=[replace(robbery.events[0], start_frame=36)])
    check = check_answer(truth, "description", f"A person snatches a bag {words}.")
    assert [fact.state == "right" for fact in check.facts if fact.kind == "when" and fact.state != "missing"] == [right]


def test_who_acts_and_who_suffers() -> None:
    parts = {
        "The car was hit by a black truck.": ["whom", "who"],
        "Two people are fighting.": ["who"],
        "A man is hitting a woman.": ["who", "whom"],
        "A bag is snatched from a woman by a man in a dark green coat.": ["", "whom", "who"],
        "A man walks.": [""],
    }
    assert {answer: [mention.part for mention in read(answer).mentions] for answer in parts} == parts
    assert read("A man in a dark green coat.").mentions[0].colours == [("upper", "green")]


def test_places_in_the_picture_are_no_times() -> None:
    assert read("It lies at the end of the street, in the middle of the picture.").when == frozenset()


def test_normal_scenes_ask_for_somebody_who_is_there(calm: SceneTruth) -> None:
    right = check_answer(calm, "description", "An ordinary day: a pedestrian in green walks to the left.")
    assert kinds(right, "wrong") == kinds(right, "missing") == []
    wrong = check_answer(calm, "description", "A person in a pink jacket runs from left to right.")
    assert kinds(wrong, "wrong") == ["colour", "direction", "motion"]
    assert kinds(wrong, "missing") == ["colour", "motion"]
    nothing = check_answer(calm, "description", "Trees and lawns.")
    assert kinds(nothing, "missing") == ["colour", "motion", "who"]


def test_captions_of_instances(robbery: SceneTruth) -> None:
    right = "Role: perpetrator. Appearance: a man in a red coat and black pants. Motion: grabs a bag and escapes."
    assert recall_of(check_caption(robbery, 1, parse_caption(right)).table()) == 1.0
    car = "Role: victim. Appearance: a blue car. Motion: drives from right to left."
    wrong = check_caption(robbery, 1, parse_caption(car))
    assert sorted(states(wrong, "wrong")) == [
        ("colour", "colour blue"),
        ("direction", "right to left"),
        ("motion", "drive"),
        ("who", "car"),
        ("who", "victim"),
    ]
    assert kinds(wrong, "missing") == ["colour", "colour", "motion", "who", "who"]
    assert recall_of(check_caption(robbery, 2, parse_caption("!!!")).table()) == 0.0


def test_light_and_dark_where_colours_cannot_be_seen() -> None:
    truth = scene("running", [person(1, "perpetrator", "light", "dark", "runs")], [1], direction="left to right")
    check = check_answer(truth, "description", "A person in a white jacket and black trousers runs.")
    assert kinds(check, "wrong") == []
    assert kinds(check, "missing") == ["direction", "when"]


def test_the_table_counts_every_fact_once(robbery: SceneTruth) -> None:
    check = check_answer(robbery, "description", "A person in red snatches a bag. A person in red snatches a bag.")
    table = dict(zip(KINDS, check.table().tolist(), strict=True))
    assert table["colour"] == [1, 0, 1, 5]
    assert table["category"] == [1, 0, 1, 1]
    assert table["when"] == [0, 0, 0, 1]
    assert table["anomaly"] == [0, 0, 0, 0]
    assert np.isnan(precision_of(np.zeros((2, 4))))


@pytest.mark.parametrize("answer", ["", "!!!", "of of of", "\N{SNOWMAN} 3 s 4", "Role:", "a" * 5000, "and " * 500])
def test_nonsense_states_nothing(robbery: SceneTruth, answer: str) -> None:
    for kind in ("judgement", "description", "analysis"):
        assert {fact.state for fact in check_answer(robbery, kind, answer).facts} == {"missing"}
