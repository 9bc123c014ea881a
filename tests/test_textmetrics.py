"""Text metrics against the values of the COCO caption tools and against small cases done by hand."""

import math

import numpy as np
import pytest

from finetune.textmetrics import score_texts, words_of
from workbench.errors import InputError

ANSWERS = (
    "A person in a red jacket runs from left to right on the plaza.",
    "No, nothing abnormal happens.",
    "A car hits a person on the road. A car stops.",
    "People walk.",
)
REFERENCES = (
    "A person in a red jacket and black trousers runs from left to right.",
    "No, there is no anomaly; everything is normal.",
    "A blue car hits a person on the road; the person falls.",
    "People walk on the plaza.",
)
# What pycocoevalcap 1.2 (Cider, Bleu) gives for these texts in lower case without punctuation.
COCO_CIDER = (6.34756542, 0.57788244, 4.99765469, 2.8915654)
COCO_BLEU = (0.5482580178660598, 0.5009940953768736, 0.4659588268264173, 0.433056724751645)


def test_cider_and_bleu_equal_the_coco_caption_tools() -> None:
    scores = score_texts(ANSWERS, REFERENCES)
    assert scores.cider == pytest.approx(COCO_CIDER, abs=1e-7)
    assert scores.bleu() == pytest.approx(sum(COCO_BLEU), abs=1e-6)


def test_rouge_l_by_hand() -> None:
    # longest common subsequence "people walk": recall 2/5, precision 2/2
    assert score_texts(ANSWERS, REFERENCES).rouge_l[3] == pytest.approx(2 * 1.0 * 0.4 / 1.4)


def test_meteor_by_hand() -> None:
    # "walks" meets "walk" by its stem: 2 matches in 1 chunk of 2 and 3 words
    # P = 1, R = 2/3, F = PR / (0.9 P + 0.1 R), penalty = 0.5 (1/2)³
    (value,) = score_texts(["people walks"], ["people walk here"]).meteor
    mean = (2 / 3) / (0.9 + 0.1 * 2 / 3)
    assert value == pytest.approx(mean * (1 - 0.5 * 0.5**3))


def test_the_same_text_is_the_best_there_is() -> None:
    scores = score_texts(REFERENCES[:3], REFERENCES[:3])
    assert scores.bleu() == pytest.approx(4.0)
    assert scores.cider == pytest.approx([10.0] * 3)
    assert scores.rouge_l.tolist() == [1.0] * 3
    assert (scores.meteor > 0.99).all()


def test_nothing_in_common_and_nothing_said() -> None:
    scores = score_texts(["red blue", ""], ["people walk here", "a dog"])
    assert scores.bleu() == 0.0
    for column in (scores.cider, scores.meteor, scores.rouge_l):
        assert column.tolist() == [0.0, 0.0]
    assert score_texts(["", ""], ["a b", "c d"]).bleu() == 0.0


def test_weights_repeat_texts_in_the_corpus() -> None:
    weights = np.array([2, 0, 1, 3])
    repeated = np.repeat(np.arange(4), weights)
    corpus = score_texts([ANSWERS[i] for i in repeated], [REFERENCES[i] for i in repeated])
    assert score_texts(ANSWERS, REFERENCES).bleu(weights) == pytest.approx(corpus.bleu())


def test_cider_needs_a_corpus() -> None:
    assert math.isnan(score_texts(["a"], ["a"]).cider[0])
    with pytest.raises(InputError, match="1 answers for 2"):
        score_texts(["a"], ["a", "b"])


def test_words_have_no_case_and_no_punctuation() -> None:
    assert words_of('It\'s at 3.5 s: "A T-shirt", (red).') == ["it's", "at", "3.5", "s", "a", "t-shirt", "red"]
