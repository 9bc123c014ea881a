"""Long videos: one camera, one short anomaly, and a truth that fits the frames."""

from pathlib import Path

import av
import numpy as np
import pytest

from finetune.data import read_data
from finetune.facts import check_answer
from finetune.long import LongForm, write_long
from finetune.measure import anomaly_mask
from finetune.scenes.truth import read_truth_file
from workbench.errors import InputError

FORM = LongForm(parts=4, part_s=4.0, fps=6, size=(160, 120))


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("long")
    write_long(folder, 3, "fighting", FORM)
    return folder


def pictures(path: Path) -> np.ndarray:
    with av.open(str(path)) as container:
        return np.stack([frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)])


def test_a_long_video_reads_as_a_scene_with_one_short_event(world: Path) -> None:
    (clip,) = read_data(world)
    truth = clip.truth
    assert truth is not None
    assert (truth.n_frames, clip.category, clip.label) == (96, "fighting", 1)
    (event,) = truth.events
    assert event.start_frame // 24 == (event.end_frame - 1) // 24  # within one part
    assert np.flatnonzero(truth.frame_label).tolist() == list(range(event.start_frame, event.end_frame))
    assert len({entity.id for entity in truth.entities}) == len(truth.entities)
    assert {truth.entity(i).role for i in event.entity_ids} == {"perpetrator"}
    for kind in ("judgement", "description", "analysis"):
        assert {fact.state for fact in check_answer(truth, kind, getattr(truth.video, kind)).facts} == {"right"}


def test_masks_lie_where_the_event_is(world: Path) -> None:
    (clip,) = read_data(world)
    assert clip.truth_path is not None
    file = read_truth_file(clip.truth_path)
    (event,) = file.truth.events
    sizes = [anomaly_mask(file, i).sum() for i in range(96)]
    assert max(sizes) > 100
    assert all(size == 0 for i, size in enumerate(sizes) if not event.start_frame <= i < event.end_frame)


def test_the_camera_stays_where_parts_meet(world: Path) -> None:
    (clip,) = read_data(world)
    rgb = pictures(clip.path).astype(np.int16)
    assert len(rgb) == 96
    cuts = [np.median(np.abs(rgb[i] - rgb[i - 1])) for i in (24, 48, 72)]
    assert max(cuts) < 12  # noise; another view would change most of the picture


def test_nonsense_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no category 'dancing'"):
        write_long(tmp_path, 0, "dancing", FORM)
    with pytest.raises(InputError, match="parts of 3 s or more"):
        LongForm(part_s=1.0)
