"""A sentencepiece BPE model with added tokens → a fast tokenizer with the same ids.

`tokenizer.model` is a protocol buffer; the few fields needed are read here, so neither `sentencepiece` nor
`protobuf` has to be installed. Sentencepiece merges the pair whose joined piece scores best; the fast tokenizer
merges by rank, so the ranks are made from the scores.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, processors
from transformers import PreTrainedTokenizerFast

from workbench.errors import StackError

SPACE = "\u2581"  # how sentencepiece writes a space
NORMAL, UNKNOWN, CONTROL, USER_DEFINED, UNUSED, BYTE = range(1, 7)
BPE = 2
# What the native InternVL processor asks of its tokenizer. The published model has no token for a video, and a new
# one would lie beyond its embedding table, so a special token without use here stands for it.
PROCESSOR_TOKENS = {
    "start_image_token": "<img>",
    "end_image_token": "</img>",
    "context_image_token": "<IMG_CONTEXT>",
    "video_token": "<|plugin|>",
}


class Piece(NamedTuple):
    """One entry of the vocabulary; its place in the list is its id."""

    text: str
    score: float
    kind: int


class SentencePieceModel(NamedTuple):
    """What the fast tokenizer is made of."""

    pieces: list[Piece]
    dummy_prefix: bool
    charsmap: bytes


def read_sentencepiece(path: Path) -> SentencePieceModel:
    """Read a `tokenizer.model`.

    Raises:
        StackError: it is absent, damaged, no BPE model without byte fallback, or normalises in an unsupported way.
    """
    try:
        model = list(_fields(path.read_bytes()))
        pieces = [_piece(dict(_fields(value))) for number, value in model if number == 1]
        trainer = {k: v for number, value in model if number == 2 for k, v in _fields(value)}
        rules = {k: v for number, value in model if number == 3 for k, v in _fields(value)}
    except FileNotFoundError as error:
        raise StackError(f"{path} is missing; the checkpoint is incomplete, copy it again.") from error
    except (IndexError, KeyError, TypeError, ValueError, struct.error) as error:
        raise StackError(f"{path} is not a sentencepiece model ({error}); copy it again.") from error
    reasons = [
        reason
        for reason, given in (
            ("is not a BPE model", trainer.get(3, 1) != BPE),
            ("has no byte fallback", not trainer.get(35, 0)),
            ("squeezes runs of spaces", rules.get(4, 1)),
            ("keeps spaces as they are", not rules.get(5, 1)),
            ("has unused pieces", any(piece.kind == UNUSED for piece in pieces)),
        )
        if given
    ]
    if reasons:
        raise StackError(f"{path} {' and '.join(reasons)}, which no InternLM2 tokenizer does; check the checkpoint.")
    return SentencePieceModel(pieces, bool(rules.get(3, 1)), rules.get(2, b""))


def _fields(message: bytes) -> Iterator[tuple[int, Any]]:
    """Number and value of every field of a protocol buffer: int, or bytes for strings, messages and floats."""
    at = 0

    def varint() -> int:
        nonlocal at
        value = shift = 0
        while True:
            byte = message[at]
            at += 1
            value |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                return value

    while at < len(message):
        key = varint()
        wire = key & 7
        if wire == 0:
            yield key >> 3, varint()
            continue
        if wire not in (1, 2, 5):
            raise ValueError(f"wire type {wire}")
        size = varint() if wire == 2 else {1: 8, 5: 4}[wire]
        if at + size > len(message):
            raise ValueError("it is cut off")
        yield key >> 3, message[at : at + size]
        at += size


def _piece(fields: dict[int, Any]) -> Piece:
    score = struct.unpack("<f", fields[2])[0] if 2 in fields else 0.0
    return Piece(fields[1].decode(), score, fields.get(3, NORMAL))


def merges_by_score(pieces: Sequence[Piece], vocab: dict[str, int]) -> list[tuple[str, str]]:
    """Every pair of pieces that joins to a piece, the best-scoring result first."""
    plain = {piece.text for piece in pieces if piece.kind == NORMAL and piece.text in vocab}
    ranked = [
        (-piece.score, vocab[left], vocab[right], left, right)
        for piece in pieces
        if piece.text in plain
        for cut in range(1, len(piece.text))
        if (left := piece.text[:cut]) in plain and (right := piece.text[cut:]) in plain
    ]
    return [(left, right) for *_, left, right in sorted(ranked)]


def read_added_tokens(folder: Path) -> dict[int, AddedToken]:
    """Tokens that `added_tokens.json` and `tokenizer_config.json` put beside or over the pieces, by id.

    Raises:
        StackError: the two name different tokens for one id.
    """
    found: dict[int, AddedToken] = {}
    for key, entry in _read_json(folder / "tokenizer_config.json").get("added_tokens_decoder", {}).items():
        flags = {name: bool(entry.get(name, False)) for name in ("lstrip", "rstrip", "single_word", "normalized")}
        found[int(key)] = AddedToken(entry["content"], special=bool(entry.get("special", True)), **flags)
    for content, token in _read_json(folder / "added_tokens.json").items():
        known = found.setdefault(int(token), AddedToken(content, special=True, normalized=False))
        if known.content != content:
            raise StackError(f"The tokenizer in {folder} calls token {token} both {known.content} and {content}.")
    return found


def fast_tokenizer(folder: Path, *, chat_template: str) -> PreTrainedTokenizerFast:
    """Build the fast tokenizer of a published checkpoint; ids are those of the original.

    An added token may take the id of a piece (InternLM2 puts `<|im_start|>` over `[UNUSED_TOKEN_146]`): the piece
    then can no longer be written.

    Raises:
        StackError: a file is missing or of another kind.
    """
    model = read_sentencepiece(folder / "tokenizer.model")
    added = read_added_tokens(folder)
    settings = _read_json(folder / "tokenizer_config.json")
    for token, piece in enumerate(model.pieces):
        if piece.kind in (UNKNOWN, CONTROL):
            added.setdefault(token, AddedToken(piece.text, special=True, normalized=False))
        elif piece.kind == USER_DEFINED:
            added.setdefault(token, AddedToken(piece.text, special=False, normalized=False))
    vocab = {piece.text: token for token, piece in enumerate(model.pieces) if token not in added}
    vocab |= {entry.content: token for token, entry in added.items()}
    names = {name: settings.get(f"{name}_token") for name in ("bos", "eos", "pad", "unk")}
    named = {name: value["content"] if isinstance(value, dict) else value for name, value in names.items()}
    wanted = (*named.values(), *PROCESSOR_TOKENS.values(), "<|im_start|>", "<|im_end|>")
    lost = sorted({str(token) for token in wanted if token not in vocab})
    if lost or len(vocab) != len(set(vocab.values())):
        raise StackError(f"The tokenizer in {folder} lacks {lost or 'unique ids'}; it is not that of an InternVL chat.")
    tokenizer = Tokenizer(
        models.BPE(
            vocab, merges_by_score(model.pieces, vocab), unk_token=named["unk"], fuse_unk=True, byte_fallback=True
        )
    )
    tokenizer.normalizer = _normalizer(model)
    tokenizer.decoder = _decoder(model)
    tokenizer.add_tokens([entry for _, entry in sorted(added.items())])
    if settings.get("add_bos_token", True):
        bos = str(named["bos"])
        tokenizer.post_processor = processors.TemplateProcessing(
            single=f"{bos} $A", pair=f"{bos} $A {bos}:1 $B:1", special_tokens=[(bos, vocab[bos])]
        )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        **{f"{name}_token": value for name, value in named.items()},
        extra_special_tokens=PROCESSOR_TOKENS,
        clean_up_tokenization_spaces=False,
        chat_template=chat_template,
        padding_side="left",
    )


def _normalizer(model: SentencePieceModel) -> Any:
    """Added tokens are cut out first, so each stretch of text between them gets its own leading space, as there."""
    steps: list[Any] = [normalizers.Precompiled(model.charsmap)] if model.charsmap else []
    if model.dummy_prefix:
        steps.append(normalizers.Prepend(SPACE))
    return normalizers.Sequence([*steps, normalizers.Replace(" ", SPACE)])


def _decoder(model: SentencePieceModel) -> Any:
    steps: list[Any] = [decoders.Replace(SPACE, " "), decoders.ByteFallback(), decoders.Fuse()]
    if model.dummy_prefix:
        steps.append(decoders.Strip(" ", 1, 0))
    return decoders.Sequence(steps)


def _read_json(path: Path) -> dict[str, Any]:
    if not path.exists():
        return {}
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise StackError(f"{path} is not JSON ({error}); copy it again.") from error
