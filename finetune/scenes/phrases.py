"""Sentence templates by category. Fields: {who}, {whom}, {object} (and `_short`), {direction} (with a leading space or
empty), {place}, {where}, {when}, {category}."""

# ruff: noqa: E501 - a sentence stays on one line

from __future__ import annotations

YES = (
    "Yes, there is an anomaly: {category}.",
    "Yes, something abnormal happens: {category}.",
    "Yes, the video shows an anomaly: {category}.",
    "Yes, this is abnormal: {category}.",
)
NORMAL_JUDGEMENTS = (
    "No, nothing abnormal happens; life {place} is normal.",
    "No, there is no anomaly; everything is normal.",
    "No, the video is normal.",
    "No, nothing unusual can be seen {place}.",
)
NORMAL_SENTENCES = (
    "Everyday life {place}.",
    "The camera shows normal life {place}.",
    "It is an ordinary moment {place}.",
    "Nothing special happens {place}.",
)
NORMAL_ANALYSES = (
    "It is normal: everybody moves calmly, nobody is in danger, and nothing is out of place {place}.",
    "There is no reason for an alarm: the people behave as expected {place} and nobody comes to harm.",
    "The scene is normal, since movements are calm and nobody is attacked, hurt or in a hurry to flee.",
    "All movements fit the place; no violence, no accident, no fire and no abandoned object can be seen.",
)
DESCRIPTIONS: dict[str, tuple[str, ...]] = {
    "running": (
        "{who} runs{direction} {place}.",
        "{who} is running fast{direction} while others walk.",
        "{place}, {who} runs{direction}.",
    ),
    "cycling": (
        "{who} rides a bicycle{direction} {place}.",
        "{place}, {who} cycles{direction} among people on foot.",
        "{who} rides by bicycle{direction} {place}.",
    ),
    "driving": (
        "{who} drives{direction} {place}.",
        "{place}, where people walk, {who} drives{direction}.",
        "{who} moves{direction} {place}.",
    ),
    "fighting": (
        "{who} fight with each other; they punch and kick.",
        "two persons fight: {who} hit one another.",
        "{who} face each other and exchange blows.",
    ),
    "assault": (
        "{who} hits {whom}, who falls to the ground.",
        "{who} attacks and beats {whom}; the victim goes down.",
        "{whom} is beaten by {who} and falls.",
    ),
    "robbery": (
        "{who} snatches {object} from {whom} and runs away{direction}.",
        "{whom} is robbed: {who} grabs {object} and flees{direction}.",
        "{who} runs up to {whom}, takes {object} and escapes{direction}.",
    ),
    "falling": (
        "{whom} falls to the ground and stays there.",
        "{whom} collapses while walking and lies on the ground.",
        "{whom} suddenly falls and does not get up.",
    ),
    "falling/rises": (
        "{whom} falls to the ground and gets up again after a while.",
        "{whom} collapses, lies on the ground and then stands up again.",
        "{whom} suddenly falls, and later rises and walks on.",
    ),
    "collision/person": (
        "{who} hits {whom} on the road; the person is thrown to the ground.",
        "{whom} is hit by {who} and falls on the road.",
        "{who} crashes into {whom}, who is knocked down.",
    ),
    "collision/car": (
        "{who} crashes into {whom} that stands still.",
        "{whom} is hit by {who}; debris flies.",
        "{who} does not stop and collides with {whom}.",
    ),
    "explosion": (
        "there is an explosion with a bright flash, flying debris and smoke.",
        "something explodes: a flash, a ball of fire and a cloud of smoke.",
        "an explosion throws fire, smoke and debris into the air.",
    ),
    "fire": (
        "a fire burns {place}; flames and smoke grow.",
        "flames rise {place} and dark smoke goes up.",
        "a fire breaks out and grows {place}.",
    ),
    "abandoned object": (
        "{who} puts down {object} and walks away without it.",
        "{who} leaves {object} on the ground and goes away.",
        "{object} is left {place} by {who}.",
    ),
}
ANALYSES: dict[str, tuple[str, ...]] = {
    "running": (
        "running is abnormal {place}, where everybody else walks; {who_short} is in a hurry, perhaps fleeing, and could knock somebody over.",
        "it is abnormal because {who_short} moves much faster than the people around; this may be an escape or a panic.",
    ),
    "cycling": (
        "cycling is abnormal because the place is for people on foot; {who_short} could hit a pedestrian.",
        "it is abnormal since a bicycle moves fast among people on foot {place}; a collision could follow.",
    ),
    "driving": (
        "driving is abnormal because the place is for people on foot; {who_short} endangers the pedestrians.",
        "it is abnormal since a motor vehicle has no business {place}; somebody could be run over.",
    ),
    "fighting": (
        "fighting is abnormal: blows and kicks are exchanged at close distance, probably after a quarrel; both may be injured.",
        "it is abnormal because {who_short} strike one another; such violence can lead to injuries and calls for security.",
    ),
    "assault": (
        "assault is abnormal: {who_short} strikes {whom_short}, who only shields the head and falls; the victim may be injured and needs help.",
        "it is abnormal because one person uses violence against another who does not fight back; {whom_short} is likely hurt.",
    ),
    "robbery": (
        "robbery is abnormal: {object_short} changes hands by force and {who_short} flees; {whom_short} loses property.",
        "it is abnormal because {who_short} takes {object_short} from {whom_short} and runs; the aim is theft and the police should be called.",
    ),
    "falling": (
        "falling is abnormal: {whom_short} drops to the ground without being touched, perhaps a faint or an illness, and may need help.",
        "it is abnormal because {whom_short} suddenly lies on the ground; the cause may be a trip or a collapse, and the person may be hurt.",
    ),
    "collision/person": (
        "a collision is abnormal: {who_short} does not brake in time and knocks {whom_short} down; serious injuries are likely.",
        "it is abnormal because a vehicle hits a person on the road; {whom_short} lies on the ground and needs an ambulance.",
    ),
    "collision/car": (
        "a collision is abnormal: {who_short} runs into a car that stands still, probably by inattention; damage and injuries may follow.",
        "it is abnormal because two vehicles touch with force and debris flies; people inside may be hurt.",
    ),
    "explosion": (
        "an explosion is abnormal: the sudden flash, debris and smoke show a blast; people near by can be killed or hurt.",
        "it is abnormal because fire and debris burst out suddenly; it may start a fire, and everybody must leave the place.",
    ),
    "fire": (
        "a fire is abnormal: open flames and smoke can spread, burn people and property; the fire brigade should be called.",
        "it is abnormal because something burns where nothing should; smoke and flames are a danger to people near by.",
    ),
    "abandoned object": (
        "an abandoned object is abnormal: {who_short} goes away and nobody takes care of {object_short}; it may be forgotten or dangerous.",
        "it is abnormal because {object_short} stays behind without its owner; its content is unknown and it may be a threat.",
    ),
}
