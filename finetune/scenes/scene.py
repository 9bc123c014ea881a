"""A scene: planned once, drawn frame by frame in any order."""

from __future__ import annotations

from typing import Any, NamedTuple

import cv2
import numpy as np

from workbench.errors import InputError

from .beyond import BEYOND_STORIES, hurry
from .bodies import Person
from .canvas import Canvas
from .crowd import normal_life
from .describe import describe
from .logo import Logo
from .plan import Plan
from .rich import CONTAINED, RICH, RICH_PLACES, RICH_STORIES
from .rich_life import rich_life
from .rich_road import near_miss
from .road import crash, ride, road_life
from .stories import SECOND, STORIES
from .truth import ANOMALIES, CATEGORIES, SceneTruth
from .views import BEYOND_VIEWS, VIEWS, build_view
from .wide import WIDE_PLACES, WIDE_VIEWS, build_wide

FPS = (8, 10, 12, 15, 25)
TRIES = 6


class Rendered(NamedTuple):
    """One frame: `rgb` uint8 [H, W, 3]; `ids` uint8 [H, W], 0 background, else the id of the visible entity."""

    rgb: np.ndarray
    ids: np.ndarray


class Scene:
    """A planned scene. `render(i)` draws frame `i` (0 ≤ i < n_frames) from the plan alone."""

    def __init__(self, plan: Plan, seed: int, camera_noise: np.random.Generator, size: tuple[int, int]) -> None:
        self.size = size
        self.inner = plan.view.inner or size
        self.fps = plan.fps
        self.n_frames = plan.n
        self.view = plan.view
        self.things: list[Any] = [c.thing for c in plan.cast.values()] + plan.effects
        # Bags follow hands and dogs hold on to owners: persons are prepared first.
        self.things.sort(key=lambda t: 0 if isinstance(t, Person) else 1)
        self.by_id = {entity: cast.thing for entity, cast in plan.cast.items()}
        for thing in self.things:
            thing.prepare(plan.view.camera, plan.view.light)
        self._prepare_sensor(camera_noise)
        self.seed = seed
        self.logo: Logo | None = None
        self.truth: SceneTruth

    def _prepare_sensor(self, rng: np.random.Generator) -> None:
        """Noise tile, shake, flicker, clock."""
        h, w = self.view.picture.shape[:2]
        night = self.view.light.name in ("night", "infra-red")
        amount = rng.uniform(2.0, 4.0) * (1.8 if night else 1.0)
        mean = 24
        self.noise_offset = np.array([mean] * 4, dtype=np.float64)
        tile = rng.normal(mean, amount, (h + 64, w + 64, 1)) + rng.normal(0, amount * 0.5, (h + 64, w + 64, 3))
        self.noise = np.clip(np.rint(tile), 0, 48).astype(np.uint8)
        self.noise_at = rng.integers(0, 64, (self.n_frames, 2))
        pad = self.view.camera.pad
        shake = rng.random() < 0.25
        wander = rng.normal(0, 1, (self.n_frames, 2))
        smooth = np.stack([np.convolve(wander[:, k], np.ones(5) / 5, mode="same") for k in (0, 1)], 1)
        self.offset = np.clip(np.rint(pad + smooth * (0.45 * pad if shake else 0)), 0, 2 * pad).astype(int)
        flicker = rng.random() < 0.12
        t = np.arange(self.n_frames) / self.fps
        self.gain = 1 + (0.06 if flicker else 0.0) * np.sin(2 * np.pi * rng.uniform(0.3, 2.5) * t)
        self.clock = float(rng.uniform(0, 86400)) if rng.random() < 0.4 else None
        self.jpeg = int(rng.integers(35, 70)) if rng.random() < 0.15 else None
        self.conditions = {
            "light": self.view.light.name,
            "shake": bool(shake),
            "flicker": bool(flicker),
            "timestamp": self.clock is not None,
            "compressed": self.jpeg is not None,
        }

    def render(self, i: int) -> Rendered:
        """Draw frame `i`. Raises `InputError` when there is no such frame."""
        if not 0 <= i < self.n_frames:
            raise InputError(
                f"Frame {i} is outside the scene of {self.n_frames} frames; ask for 0…{self.n_frames - 1}."
            )
        rgb = self.view.backdrop(i)
        ids = np.zeros(rgb.shape[:2], dtype=np.uint8)
        self._paint(Canvas(rgb, ids), i)
        dx, dy = self.offset[i]
        w, h = self.inner
        rgb, ids = rgb[dy : dy + h, dx : dx + w], np.ascontiguousarray(ids[dy : dy + h, dx : dx + w])
        if self.view.soft < 1:
            rgb = cv2.resize(rgb, None, fx=self.view.soft, fy=self.view.soft, interpolation=cv2.INTER_AREA)
            rgb = cv2.resize(rgb, (w, h))
        if self.gain[i] != 1:
            rgb = cv2.convertScaleAbs(rgb, alpha=float(self.gain[i]))
        ny, nx = self.noise_at[i]
        rgb = cv2.add(rgb, self.noise[ny : ny + h, nx : nx + w])
        rgb = np.asarray(cv2.subtract(rgb, self.noise_offset))
        rgb, ids = self.view.develop(rgb, ids, self.size)
        if self.clock is not None:
            self._stamp(rgb, i)
        if self.logo is not None:
            self.logo.burn(rgb)
        if self.jpeg is not None:
            coded = cv2.imencode(".jpg", rgb, [cv2.IMWRITE_JPEG_QUALITY, self.jpeg])[1]
            rgb = np.asarray(cv2.imdecode(coded, cv2.IMREAD_COLOR))
        return Rendered(rgb, ids)

    def _paint(self, canvas: Canvas, i: int) -> None:
        """Painter's algorithm by depth, moving things and standing props together."""
        visible = [t for t in self.things if t.seen[i]]
        for thing in visible:
            thing.draw_shadow(canvas, i)
        queue: list[tuple[float, Any]] = [(t.depth(i), t) for t in visible]
        farthest = max((d for d, _ in queue), default=0.0)
        queue += [(p.depth, p) for p in self.view.props if p.depth < farthest]
        for _, item in sorted(queue, key=lambda q: -q[0]):
            if hasattr(item, "patch"):
                h, w = item.mask.shape
                cut = np.s_[item.y0 : item.y0 + h, item.x0 : item.x0 + w]
                cv2.copyTo(item.patch, item.mask, canvas.rgb[cut])
                canvas.ids[cut][item.mask > 0] = 0
            else:
                item.draw(canvas, i)

    def _stamp(self, rgb: np.ndarray, i: int) -> None:
        """Burn in the clock."""
        assert self.clock is not None
        t = int(self.clock + i / self.fps)
        text = f"CAM {self.seed % 9 + 1}  {t // 3600 % 24:02d}:{t // 60 % 60:02d}:{t % 60:02d}"
        k = self.size[1] / 240
        where = (int(5 * k), int(12 * k))
        cv2.putText(rgb, text, where, cv2.FONT_HERSHEY_SIMPLEX, 0.34 * k, (0, 0, 0), max(2, int(2 * k)), cv2.LINE_AA)
        cv2.putText(rgb, text, where, cv2.FONT_HERSHEY_SIMPLEX, 0.34 * k, (240, 240, 240), max(1, int(k)), cv2.LINE_AA)


def sample_scene(
    seed: int,
    *,
    category: str | None = None,
    seconds: tuple[float, float] = (6, 12),
    view: str | None = None,
    size: tuple[int, int] = (320, 240),
    fps: int | None = None,
    wide: bool = False,
    rich: bool = False,
) -> Scene:
    """The scene of a seed. Without `category`, half of the scenes are normal. `seconds` is the range of lengths.

    Views of `wide.py` are drawn when they are named, or as often as others when `wide` is set. Categories of `rich.py`
    are drawn when they are named, or as often as others when `rich` is set, which adds more of normal life and burnt-in
    logos too. Views and categories of `beyond.py` are drawn only when they are named.

    Raises `InputError` for an unknown category or view, or a category that cannot happen in the view.
    """
    if category is not None and category not in (*CATEGORIES, *RICH, *BEYOND_STORIES):
        raise InputError(f"There is no category {category!r}; choose one of: {', '.join((*CATEGORIES, *RICH))}.")
    if view is not None and view not in (*VIEWS, *WIDE_VIEWS, *BEYOND_VIEWS):
        raise InputError(f"There is no view {view!r}; choose one of: {', '.join((*VIEWS, *WIDE_VIEWS))}.")
    scene = None
    for attempt in range(TRIES):
        rng = np.random.default_rng((seed, attempt))
        scene = _compose(rng, seed, category, seconds, view, size, fps, wide, rich)
        if scene is not None:
            return scene
    raise InputError(f"Seed {seed} gives no visible event in {seconds} seconds; ask for a longer clip or another seed.")


def _on_the_road(plan: Plan, category: str) -> None:
    """A drive, with a crash or a danger ahead or without."""
    if category != "normal":
        plan.events.append(
            (near_miss if category == "traffic" else crash)(plan, plan.uniform(0.25, 0.65) * plan.seconds, 0.0)
        )
    road_life(plan, lead=category == "normal" and plan.chance(0.6))
    ride(plan)


def _compose(
    rng: np.random.Generator,
    seed: int,
    category: str | None,
    seconds: tuple[float, float],
    view_name: str | None,
    size: tuple[int, int],
    fps: int | None,
    wide: bool,
    rich: bool,
) -> Scene | None:
    """One attempt; None when the event turns out to be hidden."""
    stories, wide_places = STORIES | RICH_STORIES | BEYOND_STORIES, WIDE_PLACES | RICH_PLACES
    if category is None:
        usual = (*ANOMALIES, *RICH) if rich else ANOMALIES
        kinds = tuple(BEYOND_STORIES) if view_name in BEYOND_VIEWS else usual
        options = [c for c in kinds if view_name is None or view_name in (*stories[c][1], *wide_places.get(c, ()))]
        category = "normal" if rng.random() < 0.5 else options[int(rng.integers(len(options)))]
    places = VIEWS if category == "normal" else stories[category][1]
    if wide or view_name in WIDE_VIEWS:
        places = (*places, *(WIDE_VIEWS if category == "normal" else wide_places.get(category, ())))
    if category == "normal" and view_name in BEYOND_VIEWS:
        places = BEYOND_VIEWS
    if view_name is not None and view_name not in places:
        raise InputError(f"{category!r} cannot happen in the view {view_name!r}; choose one of: {', '.join(places)}.")
    name = view_name or places[int(rng.integers(len(places)))]
    rate = fps or int(FPS[int(rng.integers(len(FPS)))])
    length = float(rng.uniform(*seconds))
    place = (build_wide if name in WIDE_VIEWS else build_view)(name, rng, *size)
    rate = fps or (place.rates[0] if place.rates else rate)
    plan = Plan(place, rng, max(2, round(length * rate)), rate)
    if name == "dashcam":
        _on_the_road(plan, category)
    elif category == "normal":
        if rich:
            rich_life(plan, int(rng.integers(1, 4)))
        normal_life(plan, 0.7 if rich else 1.3)
    else:
        at = plan.uniform(0.17, 0.72) * plan.seconds
        plan.events.append(stories[category][0](plan, at, plan.uniform(1.8, 6.0)))
        others = [c for c in SECOND if c not in (category, *CONTAINED.get(category, ())) and name in STORIES[c][1]]
        if plan.chance(0.12) and others and plan.seconds > 7 and category not in ("explosion", "collision"):
            other = STORIES[others[int(rng.integers(len(others)))]][0]
            plan.events.append(other(plan, plan.uniform(0.3, 0.65) * plan.seconds, plan.uniform(1.8, 4.0)))
        if rich and plan.chance(0.5):
            rich_life(plan, 1)
        normal_life(plan, 0.7, special=plan.chance(0.3))
    if name in BEYOND_VIEWS:
        hurry(plan)
    scene = Scene(plan, seed, rng, size)
    if rich:
        scene.logo = Logo.of_chance(rng, size)
        scene.conditions["logo"] = scene.logo is not None
    truth = describe(scene, plan, category, name, rng)
    if truth is None:
        return None
    scene.truth = truth
    return scene
