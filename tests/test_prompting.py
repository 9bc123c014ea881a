"""Instances by hand: what a click hits, how instances change, and a mask that is followed through an event."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest

from tests.drawn import moving_square, write_clip
from tests.tiny_stack import tiny_stack as build_stack
from workbench import prompting
from workbench.errors import InputError
from workbench.masks import decode_rle, encode_rle, mask_box
from workbench.prompting import Clicks
from workbench.records import Event, Instance
from workbench.stack.loading import ModelStack
from workbench.stack.segmenter import Segmenter, SegmenterSpec
from workbench.video import Clip


def square(left: int, top: int, side: int = 10, hw: tuple[int, int] = (60, 80)) -> np.ndarray:
    mask = np.zeros(hw, bool)
    mask[top : top + side, left : left + side] = True
    return mask


def instance(number: int, masks: dict[int, np.ndarray], **words: str) -> Instance:
    frames = sorted(masks)
    blank = Instance(number, "bystander", "object", "", "", frames[0], frames[-1], {}, {})
    return replace(prompting.with_masks(blank, masks), **words)


class TestHit:
    def test_the_smallest_mask_under_the_point_wins(self) -> None:
        shown = [(instance(1, {5: square(0, 0, 40)}), 5), (instance(2, {5: square(10, 10)}), 5)]
        assert prompting.hit(shown, 15, 15) == 2
        assert prompting.hit(shown, 30, 30) == 1
        assert prompting.hit(shown, 75, 55) is None

    def test_a_mask_counts_before_a_box_and_a_near_miss_hits(self) -> None:
        bar = np.zeros((60, 80), bool)
        bar[5:50, 20] = True
        boxed = replace(instance(1, {5: square(15, 0, 12)}), masks_rle={})
        shown = [(boxed, 5), (instance(2, {5: bar}), 5)]
        assert prompting.hit(shown, 22, 8) == 2
        assert prompting.hit(shown, 16, 3) == 1


class TestChanges:
    def test_masks_take_the_place_of_those_on_their_frames_and_stretch_the_lifespan(self) -> None:
        before = instance(1, {10: square(0, 0), 20: square(5, 5)})
        after = prompting.with_masks(before, {20: square(40, 30), 30: square(50, 30), 31: np.zeros((60, 80), bool)})
        assert (after.first_frame, after.last_frame) == (10, 30)
        assert sorted(after.masks_rle) == [10, 20, 30]
        assert after.boxes_xyxy[20] == (40, 30, 50, 40)
        assert before.boxes_xyxy[20] == (5, 5, 15, 15)

    def test_merged_instances_cover_what_either_did_and_keep_the_words_of_the_first(self) -> None:
        kept = instance(1, {10: square(0, 0), 20: square(0, 0)}, appearance="a man in red")
        other = instance(2, {20: square(30, 30), 30: square(30, 30)}, appearance="a bag", motion="lies", category="bag")
        both = prompting.merged(kept, other)
        assert (both.id, both.first_frame, both.last_frame) == (1, 10, 30)
        assert (both.appearance, both.motion, both.category) == ("a man in red", "lies", "bag")
        assert (decode_rle(both.masks_rle[20]) == (square(0, 0) | square(30, 30))).all()
        assert both.boxes_xyxy[20] == (0, 0, 40, 40)

    def test_trimming_drops_what_lies_outside_and_never_all(self) -> None:
        whole = instance(1, {10: square(0, 0), 20: square(0, 0), 30: square(0, 0)})
        short = prompting.trimmed(whole, first=15)
        assert (short.first_frame, sorted(short.masks_rle), sorted(short.boxes_xyxy)) == (15, [20, 30], [20, 30])
        with pytest.raises(InputError, match="nothing would be left"):
            prompting.trimmed(whole, first=21, last=29)
        with pytest.raises(InputError, match="cannot begin at frame 40"):
            prompting.trimmed(whole, first=40)

    def test_outlines_are_near_the_mask_and_hold_its_holes(self) -> None:
        ring = square(10, 10, 30)
        ring[20:30, 20:30] = False
        lines = prompting.outlines(ring)
        assert len(lines) == 2
        xs, ys = zip(*(line[i : i + 2] for line in lines for i in range(0, len(line), 2)), strict=True)
        assert (min(xs), max(xs), min(ys), max(ys)) == (10.5, 39.5, 10.5, 39.5)


class TestMeaning:
    def test_clicks_refine_the_mask_that_is_there(self) -> None:
        known = instance(1, {3: square(40, 40, 15)})
        on_and_off = Clicks(3, points=((50.0, 58.0), (10.0, 10.0)), labels=(1, 0))
        assert prompting.meant_box(on_and_off, known) == (40, 40, 55, 58)

    def test_a_box_of_ones_own_replaces_it_and_other_frames_have_none(self) -> None:
        known = instance(1, {3: square(40, 40, 15)})
        drawn_box = Clicks(3, box=(1.0, 2.0, 30.0, 40.0))
        assert prompting.meant_box(drawn_box, known) == (1.0, 2.0, 30.0, 40.0)
        assert prompting.meant_box(Clicks(4, points=((50.0, 50.0),), labels=(1,)), known) is None
        assert prompting.meant_box(Clicks(3, points=((50.0, 50.0),), labels=(1,)), None) is None


class TestOnAClip:
    """With an untrained segmenter: what is asked of it and what becomes of its answers, not how good they are."""

    @pytest.fixture(scope="class")
    def stack(self, tmp_path_factory: pytest.TempPathFactory) -> ModelStack:
        return build_stack(tmp_path_factory.mktemp("stack"), segmenter=Segmenter.load(SegmenterSpec.untrained()))

    @pytest.fixture(scope="class")
    def clip(self, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Clip]:
        path = write_clip(tmp_path_factory.mktemp("clip") / "square.mp4", moving_square, n_frames=30)
        with Clip.open(path) as clip:
            yield clip

    def test_negative_clicks_alone_are_refused(self, clip: Clip, stack: ModelStack) -> None:
        with pytest.raises(InputError, match="only negative points"):
            prompting.prompted_mask(clip, stack, Clicks(3, points=((5.0, 5.0),), labels=(0,)), None)

    def test_what_was_drawn_stands_and_the_track_stays_in_the_event(self, clip: Clip, stack: ModelStack) -> None:
        mask = square(40, 40, 24, clip.frame(0).shape[:2])
        told: list[float] = []
        event = prompting.event_around(clip, [Event(0.2, 0.8, 0.5, 0.9)], 10)
        track = prompting.follow(clip, stack, event, 10, mask, lambda _, done, __: told.append(done))
        assert (track[10] == mask).all()
        assert clip.index_at(0.2) <= min(track) <= 10 <= max(track) <= clip.index_at(0.8)
        assert told == sorted(told)
        assert told[-1] == 1.0

    def test_a_frame_outside_all_events_is_followed_for_a_while(self, clip: Clip) -> None:
        span = prompting.event_around(clip, [Event(0.2, 0.4, 0.3, 0.9)], 25)
        now = float(clip.times_s[25])
        assert span.start_s == max(0.0, now - prompting.FOLLOW_S)
        assert span.end_s == min(clip.info.duration_s, now + prompting.FOLLOW_S)

    def test_describing_keeps_the_role_if_asked(self, clip: Clip, stack: ModelStack) -> None:
        known = replace(instance(1, {3: square(40, 40, 30, clip.frame(3).shape[:2])}), role="victim")
        assert prompting.described(clip, stack, known, keep_role=True).role == "victim"
        with pytest.raises(InputError, match="no mask to look at"):
            prompting.described(clip, stack, replace(known, masks_rle={}), keep_role=True)


def test_a_stretched_box_holds_its_points() -> None:
    assert prompting.stretched((10, 10, 20, 20), [(5, 12), (15, 30)]) == (5, 10, 20, 30)
    assert mask_box(decode_rle(encode_rle(square(3, 4)))) == (3, 4, 13, 14)
