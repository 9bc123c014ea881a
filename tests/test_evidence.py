"""Which sentence rests on what."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.sample_records import drawn_analysis
from workbench.evidence import sentences, supported
from workbench.records import Analysis, Evidence, Turn

SPAN = Evidence(18.0, 24.5)
ROBBER = Evidence(18.0, 24.5, 1)


@pytest.fixture
def analysis() -> Analysis:
    """50 s long; a robbery from 18.0 s to 24.5 s with one perpetrator, a person."""
    return drawn_analysis()


def resting(text: str, analysis: Analysis) -> list[tuple[Evidence, ...]]:
    turn = Turn("description", "What happens?", text, (SPAN, ROBBER))
    return [sentence.evidence for sentence in supported(turn, analysis)]


def test_sentences_joined_are_the_text_again() -> None:
    text = "At 3.5 s it begins.  Nobody helps! Why?\nIt ends at 0:12"
    assert "".join(sentences(text)) == text
    assert [s.strip() for s in sentences(text)] == ["At 3.5 s it begins.", "Nobody helps!", "Why?", "It ends at 0:12"]
    assert sentences("") == []


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("It is abnormal because goods are taken by force.", (SPAN,)),
        ("A robbery takes place.", (SPAN,)),
        ("A person in a red coat runs off.", (ROBBER,)),
        ("The perpetrator robs somebody; this robbery is quick.", (SPAN, ROBBER)),
        ("It begins at 0:18.", (SPAN,)),
        ("Around 19.5 s somebody falls.", (SPAN,)),
        ("It begins at 0:40.", ()),
        ("It happens in the middle of the clip.", (SPAN,)),
        ("It happens at the end of the clip.", ()),
        ("The weather is dry.", ()),
        ("Nothing unusual can be seen.", ()),
        ("No robbery takes place.", ()),
        ("On a normal street a robbery takes place.", (SPAN,)),
    ],
)
def test_a_sentence_rests_on_what_it_names(text: str, expected: tuple[Evidence, ...], analysis: Analysis) -> None:
    assert resting(text, analysis) == [expected]


def test_each_sentence_has_its_own(analysis: Analysis) -> None:
    found = resting("A robbery takes place. The street is wet. A person runs.", analysis)
    assert found == [(SPAN,), (), (ROBBER,)]


def test_an_instance_that_is_gone_supports_nothing(analysis: Analysis) -> None:
    assert resting("A person runs.", replace(analysis, instances=[])) == [()]
