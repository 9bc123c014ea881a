"""Answers are read as a person reads them."""

import json
from pathlib import Path

import pytest

from workbench.answers import named_category, parse_judgement


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ("Yes, there is a fight.", True),
        ("**Yes**", True),
        ("No. Nothing happens.", False),
        ("No anomaly exists in the video.", False),
        ("The anomaly exists, specifically a Car Accident anomaly.", True),
        ("There is no anomaly in the video.", False),
        ("It doesn't show any abnormal event", False),
        ("The street looks normal.", False),
        ("On a normal street, an anomaly exists.", True),
        ("This is not normal.", True),
        ("This isn't normal.", True),
        ("It is not a normal scene.", True),
        ("The anomaly does not exist.", False),
        ("An anomaly is not present in the video.", False),
        ("Anomaly: none", False),
        ("The abnormal event does not stop for a minute.", True),
        ("A person walks. There is an anomaly.", None),  # only the first sentence judges
        ("North gate, two people.", None),
        ("", None),
    ],
)
def test_judgement_is_read_from_the_first_sentence(answer: str, expected: bool | None) -> None:
    assert parse_judgement(answer) is expected


@pytest.mark.parametrize(
    "denial",
    [
        "I cannot see any anomaly such as fighting.",
        "An anomaly cannot be seen.",
        "An abnormal event never happens.",
        "I can\u2019t see any anomaly.",
        "The people never do anything suspicious.",
        "Never does an anomaly occur.",
        "Nobody behaves abnormally.",
        "Nobody in the street does anything suspicious.",
        "No one is doing anything unusual.",
        "No one fights.",
        "It shows neither a fight nor another anomaly.",
        "No smoke, fire or other abnormal event can be seen.",
    ],
)
def test_a_sentence_that_denies_an_anomaly_is_read_as_no(denial: str) -> None:
    assert parse_judgement(denial) is False


@pytest.mark.parametrize(
    "affirmation",
    [
        "This cannot be normal.",
        "This can't be normal.",
        "A crowd like this is never normal.",
        "Something never seen before happens: an abnormal gathering.",
        "An abnormal event never seen before takes place.",
        "People have never behaved so abnormally.",
        "It cannot be denied that there is an anomaly.",
        "I cannot rule out an anomaly.",
        "He cannot stand, which is unusual.",
        "Nobody helps the injured man, which is unusual.",
        "No one helps the injured man, which is unusual.",
        "Nobody notices the anomaly.",
        "No one reacts to the sudden anomaly.",
        "I see nothing but abnormal behaviour.",
        "There is no doubt that something abnormal happens.",
        "No doubt an anomaly.",
    ],
)
def test_a_negation_of_something_else_leaves_the_anomaly(affirmation: str) -> None:
    assert parse_judgement(affirmation) is True


@pytest.mark.parametrize(
    "shrug",
    ["I cannot tell whether there is an anomaly.", "I don't know if this is unusual.", "Nobody is there."],
)
def test_an_answer_that_does_not_commit_itself_says_neither(shrug: str) -> None:
    assert parse_judgement(shrug) is None


def test_every_published_judgement_can_be_read(shared_dir: Path) -> None:
    path = shared_dir / "data/holmesvau/merge_instruction_test_final.jsonl"
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    answers = [row["anwser"] for row in rows if row["task"] == "judgement"]
    assert len(answers) > 400
    for answer in answers:
        assert parse_judgement(answer) is not answer.startswith(("No ", "There is no")), answer


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ("Yes, a robbery.", "robbery"),
        ("Two men fighting, then a robbery", "fight"),
        ("An Abandoned-Object lies there", "abandoned object"),
        ("A car accident", "car accident"),  # the longer of two that start at the same word
        ("A firearm", None),
    ],
)
def test_named_category(answer: str, expected: str | None) -> None:
    assert named_category(answer, ["robbery", "fight", "abandoned object", "car", "car accident", "fire"]) == expected
