"""What the taxonomy of a store starts with: the kinds of UCF-Crime, XD-Violence, VIEW360+ and the street world.

A list that grows gets the next number as its `EDITION`; stores that were begun with an earlier one are then given what
is new, once, and nothing of what people made of the rest is touched (`taxonomy.open_store`).
"""

from __future__ import annotations

import re

from workbench.records import Category

EDITION = 3  # 1: without `glance` and the four kinds after it, and `stealing` alone was marked as one of VIEW360+;
# 2: before the street world had more than eleven kinds of events
UCF, XD, VIEW, STREET = "UCF-Crime", "XD-Violence", "VIEW360+", "street world"

# name | parent | synonyms | data sets. Names in lower case as the models say them.
_STARTING = f"""
violence | | |
abuse | violence | child abuse, animal abuse | {UCF}, {XD}, {STREET}
assault | violence | | {UCF}, {STREET}
fighting | violence | fight, brawl | {UCF}, {XD}, {STREET}
riot | violence | | {XD}, {STREET}
shooting | violence | gunfire, shots fired | {UCF}, {XD}, {STREET}
harassment | violence | |
property crime | | |
burglary | property crime | break-in | {UCF}, {STREET}
robbery | property crime | mugging | {UCF}, {STREET}
shoplifting | property crime | | {UCF}, {STREET}
stealing | property crime | theft, steal | {UCF}, {VIEW}, {STREET}
pickpocketing | property crime | |
shoulder surfing | property crime | |
vandalism | property crime | | {UCF}, {STREET}
arson | property crime | | {UCF}, {STREET}
arrest | | | {UCF}, {STREET}
accident | | |
road accident | accident | roadaccidents, road accidents, car accident, car crash | {UCF}, {XD}
collision | accident | crash, collide, colliding, bumping into someone, bumping | {STREET}, {VIEW}
falling | accident | fall | {STREET}
hazard | | |
explosion | hazard | | {UCF}, {XD}, {STREET}
fire | hazard | | {STREET}
abandoned object | hazard | abandoned bag, unattended luggage | {STREET}
out of place | | |
running | out of place | | {STREET}
cycling | out of place | bicycle on the walkway | {STREET}
driving | out of place | vehicle on the walkway | {STREET}
glance | harassment | glancing, peeking, staring | {VIEW}, {STREET}
teasing | harassment | tease, taunting, mocking | {VIEW}, {STREET}
threatening | violence | threaten, threat, intimidation | {VIEW}, {STREET}
throwing | violence | throw, throwing objects, hurling | {VIEW}, {STREET}
traffic | hazard | traffic hazard, traffic danger, dangerous traffic | {VIEW}, {STREET}
"""


def starting_categories() -> list[Category]:
    """What a new store offers, in one tree."""
    result = []
    for line in _STARTING.strip().splitlines():
        name, parent, synonyms, sources = (cell.strip() for cell in line.split("|"))
        split = [tuple(filter(None, (word.strip() for word in cell.split(",")))) for cell in (synonyms, sources)]
        result.append(Category(slugged(name), name, slugged(parent) or None, split[0], split[1]))
    return result


def slugged(name: str) -> str:
    """The id of a category by its first name."""
    return re.sub(r"\W+", "-", name.strip().lower()).strip("-")


def key_of(text: str) -> str:
    """What is compared: letters and digits in lower case, so that `RoadAccidents` meets `road accidents`."""
    return re.sub(r"[\W_]+", "", text).lower()
