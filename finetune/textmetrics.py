"""Answers against reference texts, word by word: BLEU, CIDEr, METEOR and ROUGE-L, as papers on captions report them.

- BLEU is the sum of BLEU-1 … BLEU-4 over the corpus (Holmes-VAU, Table 2), so it lies in [0, 4]; the matched n-grams
  are NLTK's, a text shorter than n words has none. There is no smoothing: without a common 4-gram BLEU-4 is 0.
- METEOR is NLTK's, with its exact and stem matchers. Its synonym matcher needs the WordNet database, which is not
  part of the package; without it the numbers are a little lower and do not depend on what a machine has installed.
- ROUGE-L is the F-measure of `rouge-score`.
- CIDEr is written out here, since the only package that has it carries Java archives of 100 MB: Vedantam et al. 2015,
  eq. 1-3, in the form that the COCO caption tools call CIDEr (CIDEr-D: clipped counts, a Gaussian on the difference
  of lengths with σ = 6, times 10). Document frequencies come from the references that are measured, so it needs two.

Texts are compared in lower case without punctuation. Of each text only a row of numbers is kept, so that a bootstrap
replicate is a weighted sum.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from workbench.errors import InputError

N_GRAMS = 4
CIDER_SIGMA = 6.0
CIDER_SCALE = 10.0
Grams = list[Counter[tuple[str, ...]]]


@dataclass(frozen=True, slots=True)
class TextScores:
    """What the metrics of `N` texts are made from.

    Attributes:
        matched, total: int64 `[N, 4]`, n-grams of the answer found in the reference, and all of them, n = 1 … 4.
        length: int64 `[N, 2]`, words of the answer and of its reference.
        cider, meteor, rouge_l: float64 `[N]`; `cider` is NaN for fewer than two texts.
    """

    matched: np.ndarray
    total: np.ndarray
    length: np.ndarray
    cider: np.ndarray
    meteor: np.ndarray
    rouge_l: np.ndarray

    def bleu(self, weights: np.ndarray | None = None) -> float:
        """BLEU-1 + … + BLEU-4 of the corpus in which text `i` occurs `weights[i]` times (once without)."""
        weights = np.ones(len(self.length)) if weights is None else weights
        answer, reference = weights @ self.length
        if not answer:
            return 0.0
        brevity = min(1.0, math.exp(1.0 - reference / answer))
        matched, total = weights @ self.matched, weights @ self.total
        precisions = np.divide(matched, total, out=np.zeros(N_GRAMS), where=total > 0)
        with np.errstate(divide="ignore"):
            means = np.exp(np.cumsum(np.log(precisions)) / np.arange(1, N_GRAMS + 1))
        return float(brevity * means.sum())


def words_of(text: str) -> list[str]:
    """Lower-case words; a number with its decimals is one word."""
    return re.findall(r"\d+(?:\.\d+)?|\w+(?:['-]\w+)*", text.lower())


def score_texts(answers: Sequence[str], references: Sequence[str]) -> TextScores:
    """Compare each answer with its reference.

    Raises:
        InputError: not as many answers as references, or none.
    """
    if len(answers) != len(references) or not answers:
        raise InputError(f"There are {len(answers)} answers for {len(references)} references; give one for each.")
    # Imported here: only a run that asks for words waits for the language tools.
    from nltk.translate.bleu_score import modified_precision
    from nltk.translate.meteor_score import single_meteor_score
    from rouge_score.rouge_scorer import RougeScorer

    said, true = [words_of(text) for text in answers], [words_of(text) for text in references]
    pairs = list(zip(said, true, strict=True))
    parts = [[modified_precision([t], s, n) for n in range(1, N_GRAMS + 1)] for s, t in pairs]
    rouge = RougeScorer(["rougeL"], use_stemmer=False)
    return TextScores(
        matched=np.array([[part.numerator for part in row] for row in parts], np.int64),
        total=np.array([[max(0, len(s) - n) for n in range(N_GRAMS)] for s, _ in pairs], np.int64),
        length=np.array([[len(s), len(t)] for s, t in pairs], np.int64),
        cider=cider(said, true),
        meteor=np.array([single_meteor_score(t, s, wordnet=_NoSynonyms()) if s and t else 0.0 for s, t in pairs]),
        rouge_l=np.array([rouge.score(" ".join(t), " ".join(s))["rougeL"].fmeasure for s, t in pairs]),
    )


class _NoSynonyms:
    """Stands for WordNet where METEOR looks synonyms up: no word has any."""

    def synsets(self, _word: str) -> list[object]:
        return []


def cider(said: Sequence[list[str]], true: Sequence[list[str]]) -> np.ndarray:
    """CIDEr-D of each text against its one reference, float64 `[N]` in [0, 10]; NaN for fewer than two texts.

    Args:
        said, true: the words of the answers and of their references.
    """
    if len(true) < 2:
        return np.full(len(true), np.nan)
    references = [_grams(words) for words in true]
    frequency = Counter(gram for grams in references for table in grams for gram in table)
    scores = [
        _similarity(_grams(words), reference, len(words) - len(other), frequency, math.log(len(true)))
        for words, reference, other in zip(said, references, true, strict=True)
    ]
    return np.array(scores)


def _grams(words: list[str]) -> Grams:
    return [Counter(zip(*(words[i:] for i in range(n)), strict=False)) for n in range(1, N_GRAMS + 1)]


def _similarity(said: Grams, true: Grams, longer: int, frequency: Counter[tuple[str, ...]], log_texts: float) -> float:
    """Mean over n of the clipped tf-idf cosine (eq. 2 with the count of the answer cut to that of the reference)."""
    total = 0.0
    for answer, reference in zip(said, true, strict=True):
        idf = {gram: log_texts - math.log(max(1, frequency[gram])) for gram in answer | reference}
        a = {gram: count * idf[gram] for gram, count in answer.items()}
        r = {gram: count * idf[gram] for gram, count in reference.items()}
        product = sum(min(a[gram], r[gram]) * r[gram] for gram in a.keys() & r.keys())
        norm = math.hypot(*a.values()) * math.hypot(*r.values())
        total += product / norm if norm else 0.0
    return CIDER_SCALE * total / N_GRAMS * math.exp(-(longer**2) / (2 * CIDER_SIGMA**2))
