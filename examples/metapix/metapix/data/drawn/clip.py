"""Drawn clips: a random person, dance, room and camera from one seed."""

from __future__ import annotations

import math
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from multiprocessing import get_context

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from metapix.data.clip import Clip
from metapix.data.drawn.body import BONE, Proportions
from metapix.data.drawn.camera import Camera, framed
from metapix.data.drawn.choreography import dance
from metapix.data.drawn.joints import confidence, joint_places
from metapix.data.drawn.kinematics import Skeleton, solve
from metapix.data.drawn.motion import BEATS, Dance, pose_at
from metapix.data.drawn.noise import Noise, disturb
from metapix.data.drawn.render import SHADOW_SIDE, Figure, Light, Renderer, bone_matrices
from metapix.data.drawn.room import paint_room
from metapix.data.drawn.wardrobe import person_surfaces
from metapix.errors import InputError

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Scene:
    """All that a seed decides: who dances what, and how it is filmed; ``look`` and ``place`` are seeds for clothes and room."""

    person: Proportions
    feminine: float
    dance: Dance
    start: float
    camera: Camera
    light: Light
    look: int
    place: int

    @classmethod
    def sample(cls, seed: int) -> Scene:
        """The scene of a seed."""
        rng = np.random.default_rng([seed, 0x0DA2CE])
        feminine = float(np.clip(rng.beta(0.6, 0.6), 0, 1))
        person = Proportions.sample(rng, feminine)
        moves = dance(rng, person)
        start = float(rng.uniform(0, BEATS)) * moves.beat
        return cls(
            person, feminine, moves, start, _camera(rng, person, moves), _light(rng), int(rng.integers(1 << 30)), int(rng.integers(1 << 30))
        )

    def skeleton(self, time: Array) -> Skeleton:
        """All bones at (T,) seconds after the clip's start."""
        return solve(self.person, pose_at(self.dance, self.person, time + self.start))


def extremes(person: Proportions, skeleton: Skeleton) -> Array:
    """(M, 3) points around everything of a person that can stick out: crown, hands, feet, elbows and hips."""
    h = person.height
    tips = {"head": (0, 0.165, 0), "hand": (0, -0.10, 0.01), "foot": (0, -0.05, 0.125), "forearm": (0, 0, 0), "shin": (0, 0, 0)}
    points = [skeleton.place("head", np.array([x, 0.10, z]) * h) for x, z in ((-0.075, 0.0), (0.075, 0.0), (0.0, 0.09), (0.0, -0.09))]
    points += [skeleton.place("pelvis", np.array([x, -0.05, z]) * h) for x, z in ((-0.13, 0.0), (0.13, 0.0), (0.0, 0.10), (0.0, -0.10))]
    for name in BONE:
        tip = tips.get(name.split("_")[-1])
        if tip is not None:
            points.append(skeleton.place(name, np.array(tip) * h))
    return np.concatenate(points)


def _camera(rng: np.random.Generator, person: Proportions, moves: Dance) -> Camera:
    turn = float(rng.normal(0, 0.16))
    away, high = float(rng.uniform(4.6, 7.0)), float(rng.uniform(1.0, 1.75))
    place = np.array([away * math.sin(turn), high, away * math.cos(turn)])
    time = np.arange(0, BEATS, 0.125) * moves.beat
    points = extremes(person, solve(person, pose_at(moves, person, time)))
    wanted = np.array([rng.uniform(0.68, 0.85), rng.uniform(0.25, 0.75), rng.uniform(0.5, 1.0)])
    return framed(place, points, 0.0, person.height, wanted)


def _light(rng: np.random.Generator) -> Light:
    turn, rise = float(rng.choice([-1, 1])) * float(rng.uniform(0.25, 1.1)), float(rng.uniform(0.75, 1.15))
    towards = np.array([math.cos(rise) * math.sin(turn), math.sin(rise), math.cos(rise) * math.cos(turn)])
    warm = float(rng.uniform(-1, 1))
    power = float(rng.uniform(0.72, 0.95))
    colour = power * np.array([1 + 0.08 * warm, 1.0, 1 - 0.10 * warm])
    ambient = (1.27 - power) * np.array([1 - 0.06 * warm, 1.0, 1 + 0.08 * warm])
    return Light(towards, colour, ambient)


class Stage:
    """A scene ready to be rendered at one size: camera, lamp and room; ``plate`` (S, S, 3) is the room without anybody, linear."""

    def __init__(self, scene: Scene, size: int) -> None:
        samples = 2
        spacing = 0.70 / (size * samples * float(np.linalg.norm(scene.camera.matrix[0, :3]) / _distance(scene)))
        surfaces = person_surfaces(scene.person, np.random.default_rng(scene.look), scene.feminine, spacing)
        fine = 3 if size < 128 else 2
        colour, place = paint_room(scene.camera, size * fine, np.random.default_rng(scene.place))
        rows = scene.light.rows()
        cells = (place @ rows[:, :3].T + rows[:, 3])[..., :2] * (2 / SHADOW_SIDE) - 1
        halved = [array.reshape(size, fine, size, fine, -1).mean((1, 3)).astype(np.float32) for array in (colour, cells)]
        room_light = torch.from_numpy(halved[1])
        self.scene, self.size, self.room = scene, size, torch.from_numpy(halved[0])
        self.lamp = torch.from_numpy((scene.light.colour * 0.80).astype(np.float32))
        self.around = torch.from_numpy((scene.light.ambient * 0.90).astype(np.float32))
        self.plate = self.room * (self.lamp + self.around)
        self.render = Renderer(Figure(surfaces), scene.camera, scene.light, size, samples, room_light)


def _distance(scene: Scene) -> float:
    """Metres from the camera to the nearest a dancer comes."""
    return float(np.linalg.norm(scene.camera.place)) - 0.55


def display(colour: Tensor) -> Tensor:
    """(3, S, S) uint8 picture of (S, S, 3) linear light."""
    return (colour.clamp(0, 1).sqrt_() * 255 + 0.5).to(torch.uint8).permute(2, 0, 1)


def plate(seed: int, size: int = 64) -> Tensor:
    """(3, S, S) uint8: the room of :func:`draw_clip` without the person."""
    return display(Stage(Scene.sample(seed), size).plate)


def draw_clip(seed: int, frames: int, size: int = 64, *, fps: float = 30.0, noise: Noise | None = None) -> Clip:
    """A drawn person dancing in a room: ``frames`` pictures of (3, size, size), 18 joints and soft masks.

    The same arguments give the same bytes, and a frame does not depend on how many follow it. Joints in sight have confidence 1,
    covered ones 0.3. ``noise`` imitates an estimator's and a camera's faults; ``None`` is perfect.

    Raises:
        InputError: when ``seed`` or ``frames`` is negative, ``size`` is below 16, or ``fps`` is not positive.
    """
    if seed < 0 or frames < 0 or size < 16 or not fps > 0:
        raise InputError(f"A drawn clip needs seed >= 0, frames >= 0, size >= 16 and fps > 0, but got {seed}, {frames}, {size} and {fps}.")
    scene = Scene.sample(seed)
    stage = Stage(scene, size)
    pictures = torch.zeros(frames, 3, size, size, dtype=torch.uint8)
    masks = torch.zeros(frames, 1, size, size, dtype=torch.uint8)
    joints = np.zeros((frames, 18, 3))
    skeleton = scene.skeleton(np.arange(frames) / fps)
    matrices = bone_matrices(skeleton, scene.person.rest)
    seen = scene.camera.project(joint_places(scene.person, skeleton))
    for i in range(frames):
        layer = stage.render(matrices[i])
        lit = layer.lit[..., None]
        room = stage.room * (stage.lamp * lit + stage.around * (0.45 + 0.55 * lit))
        pictures[i] = display(layer.colour + room * (1 - layer.cover[..., None]))
        masks[i, 0] = (layer.cover * 255 + 0.5).to(torch.uint8)
        joints[i, :, :2] = seen[i, :, :2] * size - 0.5
        joints[i, :, 2] = confidence(seen[i], layer)
    clip = Clip(f"drawn-{seed}", pictures, torch.from_numpy(joints.astype(np.float32)), fps, masks, None, "drawn")
    return clip if noise is None else disturb(clip, noise, seed)


def draw_clips(
    seeds: Sequence[int], frames: int, size: int = 64, *, fps: float = 30.0, noise: Noise | None = None, workers: int = 0
) -> list[Clip]:
    """:func:`draw_clip` for each seed, in order; ``workers`` > 1 shares them among that many processes."""
    draw = partial(draw_clip, frames=frames, size=size, fps=fps, noise=noise)
    if workers <= 1:
        return [draw(seed) for seed in seeds]
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn"), initializer=torch.set_num_threads, initargs=(1,)) as pool:
        return list(pool.map(draw, seeds))
