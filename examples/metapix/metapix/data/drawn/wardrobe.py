"""A dressed person: which clothes, in which colours, as surfaces that move with the bones."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from metapix.data.drawn import figure
from metapix.data.drawn.body import SIDES, Proportions
from metapix.data.drawn.head import head_surfaces
from metapix.data.drawn.palette import CLOTH, SKIN, TROUSERS, Pattern, badge, contrasting, linear
from metapix.data.drawn.surface import Surface, loft, ramp

Array = NDArray[np.float64]

PRINTS = ("plain", "plain", "plain", "heather", "stripes", "stripes", "checks", "dots", "diagonal", "zigzag", "pinstripes")


@dataclass(frozen=True)
class Outfit:
    """What a person wears: ``below`` is one of trousers, shorts, skirt, dress; lengths are shares of the limb, ease in metres."""

    below: str
    sleeve: float
    leg: float
    ease: float
    flare: float
    shirt: Pattern
    lower: Pattern
    shoe: Array
    sole: Array
    sock: Array
    badge: str
    belt: bool
    hem: float

    @classmethod
    def sample(cls, rng: np.random.Generator, skin: Array, feminine: float) -> Outfit:
        """A random outfit whose parts can be told apart from each other and from the skin."""
        odds = np.array([0.55, 0.27, 0.18 * feminine * 2, 0.16 * feminine * 2])
        below = str(rng.choice(("trousers", "shorts", "skirt", "dress"), p=odds / odds.sum()))
        shirt = Pattern.sample(rng, CLOTH, PRINTS, skin)
        cloth = ("plain", "plain", "plain", "plain", "pinstripes", "checks", "heather") if below in ("trousers", "shorts") else PRINTS
        lower = (
            shirt if below == "dress" else Pattern.sample(rng, TROUSERS if below in ("trousers", "shorts") else CLOTH, cloth, shirt.first)
        )
        shoe = contrasting(rng, CLOTH, lower.first)
        return cls(
            below=below,
            sleeve=float(rng.choice([0.0, 0.26, 0.38, 0.5, 0.97, 0.97])),
            leg={"trousers": float(rng.uniform(0.93, 1.0)), "shorts": float(rng.uniform(0.26, 0.50))}.get(
                below, float(rng.uniform(0.22, 0.62))
            ),
            ease=float(rng.uniform(0.004, 0.014)),
            flare=float(rng.choice([0.0, 0.004, 0.016, 0.035])),
            shirt=shirt,
            lower=lower,
            shoe=shoe,
            sole=linear(str(rng.choice(np.array(["#f4f1ea", "#f4f1ea", "#d8d2c4", "#2a2724", "#c98a4b"])))),
            sock=linear(str(rng.choice(np.array(["#f4f1ea", "#22252b", "#c9302c", "#f2a33a", "#8d949c"])))),
            badge=str(rng.choice(np.array(["none", "disc", "ring", "band", "block", "star"])))
            if shirt.kind in ("plain", "heather")
            else "none",
            belt=bool(rng.random() < 0.5),
            hem=float(rng.uniform(0.500, 0.560)),
        )


def person_surfaces(person: Proportions, rng: np.random.Generator, feminine: float, spacing: float) -> list[Surface]:
    """Everything there is to see of a random person, sampled every ``spacing`` metres."""
    skin = linear(str(rng.choice(np.array(SKIN)))) * np.exp(rng.normal(0, 0.06))
    skin = np.clip(skin, 0, 0.95)
    outfit = Outfit.sample(rng, skin, feminine)
    parts = head_surfaces(person, rng, skin, feminine, spacing)
    parts.append(figure.neck(person, spacing).dyed(skin * 0.93))
    parts += _above(person, outfit, skin, feminine, spacing)
    for side in range(2):
        parts += _arm(person, outfit, side, skin, spacing) + _leg(person, outfit, side, skin, spacing)
    if outfit.below in ("skirt", "dress"):
        parts.append(_skirt(person, outfit, spacing))
    return parts


def _above(person: Proportions, outfit: Outfit, skin: Array, feminine: float, spacing: float) -> list[Surface]:
    """Shirt and the seat of the trousers, with the skin of the neckline."""
    h, shift = person.height, (person.leg - 1) * 0.49 * person.height
    profile = figure.trunk_profile(person, feminine)
    seat_profile = profile.copy()
    seat_profile[:, 1:3] += 0.004 + 0.4 * outfit.ease
    seat = figure.trunk(person, seat_profile, spacing)
    seat = seat.keep(seat.along < 0.615 * h).dyed(np.ones(3))
    seat = replace(seat, colour=outfit.lower.paint(seat, 0.09 * h))
    if outfit.belt:
        seat.colour[np.abs(seat.along - 0.588 * h) < 0.011 * h] = 0.03
    profile[:, 1:3] += (0.007 + outfit.ease) * ramp(-profile[:, 0], -0.835 * h, -0.80 * h)[:, None]
    shirt = figure.trunk(person, profile, spacing)
    shirt = replace(shirt, colour=outfit.shirt.paint(shirt, 0.09 * h))
    if outfit.badge != "none":
        shirt = replace(shirt, colour=badge(shirt, outfit.shirt.second, 0.722 * h + shift, 0.075 * h, outfit.badge))
    drop = 0.012 + 0.03 * (outfit.sleeve == 0)
    neckline = (0.829 - drop * ramp(np.cos(shirt.angle), 0.0, 1.0)) * h
    bare = shirt.along > neckline
    shirt.colour[bare] = skin * 0.97
    shirt.colour[np.abs(shirt.along - neckline) < 0.005 * h] *= 0.75
    hem = 0.585 if outfit.below in ("skirt", "dress") else outfit.hem
    return [seat, shirt.keep(shirt.along > hem * h)]


def _arm(person: Proportions, outfit: Outfit, side: int, skin: Array, spacing: float) -> list[Surface]:
    name, length = SIDES[side], sum(person.limbs[:2])
    top = person.rest[f"{name}_upper_arm"][1]
    bare = figure.arm(person, side, figure.arm_profile(person), spacing).dyed(skin)
    parts = [figure.hand(person, side, spacing).dyed(skin)]
    cut = top - outfit.sleeve * length
    if outfit.sleeve < 0.9:
        parts.append(bare.keep(bare.along < cut + 0.03))
    if outfit.sleeve > 0:
        wide = outfit.ease * 0.9 + 0.003
        sleeve = figure.arm(person, side, figure.arm_profile(person, wide, 0.3 * outfit.ease), spacing)
        sleeve = replace(sleeve, colour=outfit.shirt.paint(sleeve, 0.05))
        sleeve.colour[np.abs(sleeve.along - cut - 0.008) < 0.008] *= 0.7
        parts.append(sleeve.keep(sleeve.along > cut))
    else:
        strap = bare.along > top + 0.012
        bare.colour[strap] = skin
        parts[-1] = bare
    return parts


def _leg(person: Proportions, outfit: Outfit, side: int, skin: Array, spacing: float) -> list[Surface]:
    name, length = SIDES[side], sum(person.limbs[2:])
    top = person.rest[f"{name}_thigh"][1]
    shoe, above = figure.shoe(person, side, spacing)
    colour = np.where((above < 0.22)[:, None], outfit.sole, outfit.shoe)
    parts = [replace(shoe, colour=colour)]
    bare = figure.leg(person, side, figure.leg_profile(person), spacing).dyed(skin)
    bare.colour[bare.along < top - length * 0.93] = outfit.sock
    cut = top - outfit.leg * length
    if outfit.below == "trousers":
        cloth = figure.leg(person, side, figure.leg_profile(person, 0.5 * outfit.ease + 0.004, outfit.flare), spacing)
    elif outfit.below == "shorts":
        cloth = figure.leg(person, side, figure.leg_profile(person, 0.9 * outfit.ease + 0.008, 0.0), spacing)
    else:
        # Under a skirt the thigh is left out, or it would show through the cloth when it is raised.
        return [*parts, bare.keep(bare.along < cut + 0.02)]
    cloth = replace(cloth, colour=outfit.lower.paint(cloth, 0.08))
    cloth.colour[np.abs(cloth.along - cut - 0.008) < 0.008] *= 0.75
    return [*parts, bare.keep(bare.along < cut + 0.04), cloth.keep(cloth.along > cut)]


def _skirt(person: Proportions, outfit: Outfit, spacing: float) -> Surface:
    """A skirt that hangs from the waist, spreads with the thighs and trails behind the turn."""
    h, g = person.height, person.girth
    rest = person.rest
    waist, hip = rest["belly"][1] + 0.012 * h, rest["pelvis"][1]
    hem = rest["right_thigh"][1] - outfit.leg * sum(person.limbs[2:])
    wide = 0.112 * h * g * person.hips + (0.3 + 5 * outfit.flare) * 0.22 * (hip - hem)
    rows = np.array(
        [
            (waist + 0.012 * h, 0.078 * h * g * person.waist + 0.010, 0.058 * h * g + 0.010),
            (0.5 * (waist + hip), 0.094 * h * g * person.hips + 0.010, 0.069 * h * g + 0.012),
            (hip - 0.02 * h, 0.106 * h * g * person.hips + 0.012, 0.079 * h * g + 0.014),
            (0.5 * (hip + hem), 0.5 * (wide + 0.108 * h * g * person.hips), 0.42 * (wide + 0.1 * h * g * person.hips)),
            (hem, wide, 0.86 * wide),
        ]
    )
    cloth = loft(np.concatenate((rows, np.zeros((len(rows), 1)), np.full((len(rows), 1), -0.004 * h)), 1), spacing * 0.9)
    down = ramp(-cloth.along, -hip - 0.03 * h, -hem + 0.04 * h)
    fold = 0.012 * down * np.sin(11 * cloth.angle + 2 * np.sin(3 * cloth.angle))
    cloth.points[:] += fold[:, None] * cloth.normals
    cloth = replace(cloth, colour=outfit.lower.paint(cloth, 0.12 * h) * (1 + 9 * fold[:, None]))
    left = ramp(np.sin(cloth.angle), -0.55, 0.55)
    weights = np.stack((1 - down, 0.12 * down, 0.88 * down * (1 - left), 0.88 * down * left), -1)
    return cloth.bound(("pelvis", "skirt", "right_thigh", "left_thigh"), weights)
