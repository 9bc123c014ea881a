"""The rich world: every kind of event in each of its views, more of normal life, and that it changes no older scene."""

from __future__ import annotations

import hashlib
from dataclasses import replace

import numpy as np
import pytest

from finetune.__main__ import main
from finetune.facts import FactCheck, check_answer, check_caption, precision_of, recall_of
from finetune.reading import read
from finetune.scenes import ANOMALIES, CATEGORIES, RICH, VIEWS, WIDE_VIEWS, Scene, read_truth, sample_scene
from finetune.scenes.bodies import Person
from finetune.scenes.furniture import Blinking
from finetune.scenes.logo import Logo
from finetune.scenes.plan import Plan
from finetune.scenes.rich import RICH_ANALYSES, RICH_DESCRIPTIONS, RICH_PLACES, RICH_STORIES, STILL, TALES
from finetune.scenes.rich_life import LIFE, rich_life
from finetune.scenes.truth import SceneTruth, read_truth_file, truth_to_json
from finetune.scenes.views import build_view
from finetune.world import Scenes, WorldCache
from workbench.errors import InputError
from workbench.instances import parse_caption
from workbench.profiles import BUNDLED

SHORT = (6.0, 7.0)
PLACES = [(category, view) for category in RICH for view in (*RICH_STORIES[category][1], *RICH_PLACES[category])]
ROLES = {
    "shooting": "pv", "threatening": "pv", "riot": "p", "abuse": "pv", "arrest": "pv", "stealing": "pvo",
    "shoplifting": "po", "burglary": "p", "glance": "pv", "vandalism": "p+", "arson": "po", "throwing": "pvo",
    "teasing": "pv", "bumping": "pv", "traffic": "p",
}  # fmt: skip
"""Who takes part: perpetrators, victims, objects; `+`: what is broken, a victim where it is a car."""
BEFORE = {
    (7, None, None): ("db993f20697bcb59", "dcdeadd91f6b0dca"),
    (22, None, None): ("f2db5f012c0f35f7", "371db8deb3ce86bb"),
    (24, None, None): ("d85834ea14498be7", "799d128387d9c0ed"),
    (8, "robbery", None): ("920a3e5a1b0d5000", "79f603bc22a1f479"),
    (9, "fire", None): ("de5e3cb75cedef95", "5ba25508af1014ae"),
    (10, "normal", None): ("a8334b9aecc16314", "9bfdb820d77c3a58"),
    (4, "flooding", "platform"): ("a38a8e56a05fae5b", "86a70ac3f829f7e0"),
}
"""Pictures and words of scenes as they were before there was a rich world, by seed, category and view."""
FAR = {"seconds": SHORT, "fps": 10}


def pictures_of(scene: Scene) -> str:
    """A digest of the first, the middle and the last frame with their masks."""
    digest = hashlib.sha256()
    for i in (0, scene.n_frames // 2, scene.n_frames - 1):
        picture = scene.render(i)
        digest.update(picture.rgb.tobytes())
        digest.update(picture.ids.tobytes())
    return digest.hexdigest()[:16]


def words_of(truth: SceneTruth) -> str:
    """A digest of the answers, the motions and the dialogue."""
    words = [truth.video.judgement, truth.video.description, truth.video.analysis]
    words += [entity.motion for entity in truth.entities]
    words += [turn.question + turn.answer for turn in truth.dialogue]
    return hashlib.sha256("|".join(words).encode()).hexdigest()[:16]


def all_facts(truth: SceneTruth) -> FactCheck:
    """The facts of the true answers and of the true captions of everybody seen."""
    check = FactCheck()
    for kind in ("judgement", "description", "analysis"):
        check += check_answer(truth, kind, getattr(truth.video, kind))
    for entity in truth.entities:
        if entity.first_frame >= 0:
            caption = f"Role: {entity.role}. Appearance: {entity.appearance}. Motion: {entity.motion}."
            check += check_caption(truth, entity.id, parse_caption(caption))
    return check


def test_what_is_not_asked_for_is_as_it_was() -> None:
    for (seed, category, view), digests in BEFORE.items():
        scene = sample_scene(seed, category=category, view=view, seconds=(6, 7))
        assert (pictures_of(scene), words_of(scene.truth)) == digests, (seed, category, view)
    drawn = [sample_scene(seed, seconds=SHORT, fps=8).truth for seed in range(60)]
    assert {truth.category for truth in drawn} <= set(CATEGORIES)
    assert all("logo" not in truth.conditions for truth in drawn)
    assert not {entity.kind for truth in drawn for entity in truth.entities} & {"child", "skater", "cart", "cat"}
    assert not set(RICH) & {*CATEGORIES, *BUNDLED.categories}


def test_they_are_drawn_as_often_as_others_when_asked_for() -> None:
    drawn = [sample_scene(seed, seconds=SHORT, fps=8, rich=True, wide=True).truth for seed in range(90)]
    found = {truth.category for truth in drawn}
    assert len(found & set(RICH)) > 8
    assert len(found & set(ANOMALIES)) > 3
    assert 0.3 < np.mean([truth.label for truth in drawn]) < 0.7
    assert set(WIDE_VIEWS) < {truth.view for truth in drawn} <= {*VIEWS, *WIDE_VIEWS}
    assert 0.2 < np.mean([truth.conditions["logo"] for truth in drawn]) < 0.7
    assert {"child", "cart"} <= {entity.kind for truth in drawn for entity in truth.entities}


def test_the_table_is_whole() -> None:
    assert set(ROLES) == set(RICH) == set(RICH_ANALYSES)
    for name, tale in TALES.items():
        assert tale.views, name
        assert set(tale.views) <= set(VIEWS)
        assert set(tale.wide) <= set(WIDE_VIEWS)
        assert all(len(set(words)) == 3 for words in tale.descriptions.values())
        assert len(set(tale.analyses)) == 2
    assert {key.split("/")[0] for key in RICH_DESCRIPTIONS} == set(RICH)
    assert set(RICH) >= STILL
    with pytest.raises(InputError, match="cannot happen in the view"):
        sample_scene(3, category="shoplifting", view="street")
    with pytest.raises(InputError, match="shoplifting"):
        sample_scene(3, category="juggling")


@pytest.mark.parametrize(("category", "view"), PLACES)
def test_an_event_is_seen_with_its_roles_masks_and_labels(category: str, view: str) -> None:
    scene = sample_scene(21, category=category, view=view, **FAR)
    truth = scene.truth
    event = truth.events[0]
    assert (truth.category, truth.view, truth.label, event.category) == (category, view, 1, category)
    assert truth.frame_label[event.start_frame : event.end_frame].all()
    roles = {truth.entity(i).role for i in event.entity_ids}
    wanted = {{"p": "perpetrator", "v": "victim", "o": "object"}[letter] for letter in ROLES[category].strip("+")}
    assert roles - wanted <= ({"victim", "object"} if "+" in ROLES[category] else set())
    assert wanted <= roles
    frames = range(event.start_frame, event.end_frame, 2)
    seen = dict.fromkeys(event.entity_ids, 0)
    together = 0
    for frame in frames:
        ids = scene.render(frame).ids
        sizes = {i: int((ids == i).sum()) for i in seen}
        seen = {i: max(size, sizes[i]) for i, size in seen.items()}
        together += any(size > 12 for size in sizes.values())
    assert min(seen.values()) > 12, seen
    assert together > 0.7 * len(frames)
    if "v" in ROLES[category]:
        doer, sufferer = truth.entity(event.entity_ids[0]), truth.entity(event.entity_ids[-1])
        assert doer.facts["victim_id"] in event.entity_ids
        assert sufferer.role != "victim" or sufferer.facts["victim_of"] == doer.id
    for entity in (truth.entity(i) for i in event.entity_ids):
        assert entity.appearance.lower() in event.description.lower()


@pytest.mark.parametrize("category", RICH)
def test_the_true_texts_carry_all_their_facts(category: str) -> None:
    for seed in range(10):
        view = (None, *RICH_PLACES[category])[seed % 3 % (1 + len(RICH_PLACES[category]))]
        truth = sample_scene(seed, category=category, view=view, seconds=SHORT, fps=8).truth
        check = all_facts(truth)
        assert [fact for fact in check.facts if fact.state != "right"] == [], truth.video
        assert recall_of(check.table()) == precision_of(check.table()) == 1.0
        assert category in truth.video.judgement


def test_the_true_texts_of_rich_normal_life_carry_theirs() -> None:
    for seed in range(40):
        truth = sample_scene(seed, category="normal", seconds=SHORT, fps=8, rich=True).truth
        check = all_facts(truth)
        assert [fact for fact in check.facts if fact.state != "right"] == [], truth.video
        assert recall_of(check.table()) == 1.0


@pytest.mark.parametrize(
    ("answer", "categories"),
    [
        ("A man fires a gun at another man, who drops to the ground.", {"shooting"}),
        ("Somebody is shot by a man with a pistol.", {"shooting"}),
        ("A man threatens a woman with a stick.", {"threatening"}),
        ("Hooligans riot and throw stones at a shop.", {"riot"}),
        ("A woman kicks and abuses a small dog.", {"abuse"}),
        ("Two officers arrest a man and lead him away.", {"arrest"}),
        ("A man takes a suitcase that somebody has put down and walks off.", {"stealing"}),
        ("A shoplifter takes goods off the shelf and leaves without paying.", {"shoplifting"}),
        ("A burglar forces a window and climbs in.", {"burglary"}),
        ("A man peers over the shoulder of a woman.", {"glance"}),
        ("A vandal smashes a bench.", {"vandalism"}),
        ("A man sets a bin on fire and runs away.", {"arson"}),
        ("A boy throws a stone at a car.", {"throwing"}),
        ("A girl pokes and teases a boy.", {"teasing"}),
        ("A man bumps into a woman, who falls.", {"bumping"}),
        ("A car drives on the wrong side of the road.", {"traffic"}),
        ("Somebody in red steals a bag.", {"robbery"}),  # nothing says that it stood alone
        ("A woman pushes a red cart along the shelves.", set()),
        ("A child runs after a ball and plays.", set()),
        ("There is no shooting, no riot and no vandalism.", set()),
    ],
)
def test_other_people_s_words_for_them_are_understood(answer: str, categories: set[str]) -> None:
    assert read(answer).categories == categories


def test_an_object_and_the_next_subject_are_told_apart() -> None:
    one, two = read("A man in red hugs somebody and a black van drives past.").mentions[1:]
    assert (one.motions, two.motions) == ([], ["drive"])
    both = read("A man hits a boy and a girl.").mentions
    assert [mention.part for mention in both] == ["who", "whom", "whom"]


@pytest.mark.parametrize(("name", "view"), [(name, view) for name, (_, views) in LIFE.items() for view in views[:2]])
def test_every_harmless_act_is_seen_and_normal(name: str, view: str) -> None:
    rng = np.random.default_rng(5)
    plan = Plan(build_view(view, rng, 320, 240), rng, 70, 10)
    rich_life(plan, 1, only=name)
    scene = Scene(plan, 5, rng, (320, 240))
    shown: set[int] = set()
    for frame in range(0, 70, 3):
        shown |= set(np.unique(scene.render(frame).ids).tolist())
    assert shown - {0}
    assert not plan.events
    assert {cast.role for cast in plan.cast.values()} == {"bystander"}


def test_people_run_to_the_bus_while_it_stands_and_are_gone_with_it() -> None:
    rng = np.random.default_rng(11)
    plan = Plan(build_view("street", rng, 320, 240), rng, 100, 10)
    rich_life(plan, 1, only="bus_stop")
    bus = next(cast.thing for cast in plan.cast.values() if cast.kind == "bus")
    runners = [cast.thing for cast in plan.cast.values() if isinstance(cast.thing, Person)]
    assert (bus.track.speed < 0.1).sum() > 20
    assert len(runners) >= 2
    for runner in runners:
        boarded = int(np.flatnonzero(runner.present)[-1])
        assert bus.track.speed[min(boarded, 99)] < 0.5
        assert runner.track.speed[: boarded + 1].max() > 2.6


def test_a_lorry_backs_up_slowly_and_blinks() -> None:
    rng = np.random.default_rng(3)
    plan = Plan(build_view("parking", rng, 320, 240), rng, 80, 10)
    rich_life(plan, 1, only="lorry")
    [lorry] = [cast.thing for cast in plan.cast.values()]
    assert isinstance(lorry, Blinking)
    ahead = np.cos(lorry.track.heading) * np.gradient(lorry.track.x)
    assert ahead.min() < -0.05
    assert ahead.max() < 0.01, "never forwards"
    assert lorry.track.speed.max() < 1.6
    scene = Scene(plan, 3, rng, (320, 240))
    on, off = (scene.render(i).rgb.astype(int) for i in (41, 45))
    amber = [((p[..., 0] > 190) & (p[..., 2] < 110) & (p[..., 1] > 110)).sum() for p in (on, off)]
    assert amber[0] != amber[1]


def test_a_logo_stays_in_its_corner_and_leaves_the_masks_alone() -> None:
    drawn = (sample_scene(k, rich=True, seconds=SHORT, fps=8) for k in range(40))
    scene = next(s for s in drawn if s.truth.conditions["logo"] and not s.truth.conditions["compressed"])
    mark = scene.logo
    assert isinstance(mark, Logo)
    with_mark = scene.render(3)
    scene.logo = None
    without = scene.render(3)
    changed = np.abs(with_mark.rgb.astype(int) - without.rgb).max(axis=2) > 0
    h, w = mark.alpha.shape[:2]
    inside = np.zeros_like(changed)
    inside[mark.y : mark.y + h, mark.x : mark.x + w] = True
    assert changed.any()
    assert not (changed & ~inside).any()
    assert inside.mean() < 0.1
    assert np.array_equal(with_mark.ids, without.ids)
    marks = [Logo.of_chance(np.random.default_rng(seed), (320, 240)) for seed in range(60)]
    assert all(one is None or (one.x >= 160 or one.y >= 120) for one in marks), "the clock is at the upper left"
    assert any(one is None for one in marks)


def test_every_thing_has_a_path_in_the_picture() -> None:
    scene = sample_scene(21, category="throwing", view="plaza", **FAR)
    truth = scene.truth
    for entity in truth.entities:
        assert bool(entity.path) == (entity.first_frame >= 0)
        assert len(entity.path) <= 8
        times = [t for t, _, _ in entity.path]
        assert times == sorted(times)
        assert all(0 <= x <= 1 and 0 <= y <= 1 for _, x, y in entity.path)
    thrower = truth.entity(truth.events[0].entity_ids[0])
    for t, x, y in thrower.path:
        ys, xs = np.nonzero(scene.render(min(round(t * scene.fps), scene.n_frames - 1)).ids == thrower.id)
        if len(xs) > 200 and 0.1 < x < 0.9:
            assert abs(xs.mean() / 320 - x) < 0.06
            assert abs(ys.max() / 240 - y) < 0.06


def test_a_path_is_kept_in_files_and_may_lack_in_older_ones(tmp_path) -> None:
    truth = sample_scene(3, category="arson", seconds=SHORT, fps=8).truth
    path = tmp_path / "truth.json"
    path.write_text(truth_to_json(truth, {}))
    assert read_truth(path).entities == truth.entities
    old = replace(truth, entities=[replace(entity, path=[]) for entity in truth.entities])
    path.write_text(truth_to_json(old, {}).replace(',"path":[]', ""))
    assert '"path"' not in path.read_text()
    assert read_truth_file(path).truth.entities == old.entities


def test_a_frame_is_drawn_from_the_plan_alone() -> None:
    for category in ("burglary", "throwing", "riot", "arson"):
        one, two = (sample_scene(12, category=category, rich=True, seconds=SHORT, fps=8) for _ in range(2))
        last = two.render(two.n_frames - 1)
        for i in range(0, one.n_frames, 7):
            one.render(i)
        again = one.render(one.n_frames - 1)
        assert np.array_equal(again.rgb, last.rgb)
        assert np.array_equal(again.ids, last.ids)


def test_a_rich_world_is_written_and_cached(tmp_path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["scenes", "--out", str(tmp_path), "--clips", "1", "--seed", "5"]
    assert main([*arguments, "--rich", "--category", "vandalism"]) == 0
    [path] = (tmp_path / "truth").glob("*.json")
    truth = read_truth(path)
    assert (truth.category, "logo" in truth.conditions) == ("vandalism", True)
    assert main([*arguments, "--category", "juggling"]) == 2
    assert "vandalism" in capsys.readouterr().err
    cache = WorldCache(tmp_path / "cache", Scenes(5, 1, rich=True), frames=4)
    list(cache.build(workers=1))
    same = sample_scene(5, rich=True).truth
    assert cache.read(0).truth["name"] == same.name
