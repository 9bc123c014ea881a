"""The words by which facts are recognised in answers: nouns, colours, motions, directions, categories, and their kin.

Every table goes from what may be written to the one name the truth uses. Nothing here knows a scene; what the words
mean together is read by `finetune.reading`.
"""

from __future__ import annotations

import re

from finetune.scenes.palette import COLOURS

# --- things ----------------------------------------------------------------------------------------------------

NOUNS: dict[str, tuple[str, ...]] = {
    "person": (
        *("person", "persons", "people", "man", "men", "woman", "women", "guy", "walkers", "officer", "officers"),
        *("pedestrian", "pedestrians", "passer-by", "walker", "individual", "individuals", "someone", "somebody"),
        *("runner", "jogger", "perpetrator", "victim", "attacker", "assailant", "aggressor", "robber", "thief"),
        *(
            "fighter",
            "fighters",
            "owner",
            "shooter",
            "rioter",
            "rioters",
            "burglar",
            "vandal",
            "shoplifter",
            "arsonist",
        ),
    ),
    "child": ("child", "children", "boy", "boys", "girl", "girls", "kid", "kids", "toddler"),
    "skater": ("skater", "skaters", "skateboarder", "skateboarders"),
    "cyclist": ("cyclist", "cyclists", "biker", "bicyclist"),
    "car": ("car", "cars", "sedan", "automobile", "hatchback", "suv", "taxi"),
    "van": ("van", "vans", "minivan"),
    "truck": ("truck", "trucks", "lorry", "lorries", "pickup"),
    "bus": ("bus", "buses", "coach"),
    "vehicle": ("vehicle", "vehicles"),
    "dog": ("dog", "dogs", "puppy"),
    "cat": ("cat", "cats", "kitten"),
    "flock of pigeons": ("flock", "pigeons", "pigeon", "birds", "bird"),
    "cart": ("cart", "carts", "trolley", "trolleys"),
    "stone": ("stone", "stones", "rock", "rocks", "brick"),
    "bottle": ("bottle", "bottles"),
    "box": ("box", "boxes", "carton"),
    "ball": ("ball", "balls", "football"),
    "bin": ("bin", "bins", "dustbin"),
    "bench": ("bench", "benches"),
    "stick": ("stick", "sticks", "club", "bat", "crowbar"),
    "gun": ("gun", "guns", "pistol", "firearm", "weapon"),
    "bag": ("bag", "bags", "suitcase", "luggage", "handbag", "package", "parcel", "briefcase", "satchel", "case"),
    "fire": ("fire", "fires", "flames", "flame", "blaze"),
    "explosion": ("explosion", "explosions", "blast", "fireball"),
    "others": ("others", "everybody", "everyone", "nobody"),
}
KIND_OF = {word: kind for kind, words in NOUNS.items() for word in words}
PEOPLE = frozenset({"person", "cyclist", "child", "skater"})
MOTOR = frozenset({"car", "van", "truck", "bus", "vehicle"})
ROLE_WORDS = {
    **dict.fromkeys(("perpetrator", "attacker", "assailant", "aggressor", "robber", "thief"), "who"),
    **dict.fromkeys(("shooter", "burglar", "vandal", "shoplifter", "arsonist"), "who"),
    "victim": "whom",
}

# --- looks -----------------------------------------------------------------------------------------------------

COLOUR_OF: dict[str, str] = {
    **{name: name for name in (*COLOURS, "light", "dark")},
    **dict.fromkeys(("crimson", "scarlet", "maroon", "burgundy"), "red"),
    **dict.fromkeys(("golden", "gold"), "yellow"),
    **dict.fromkeys(("olive", "lime"), "green"),
    **dict.fromkeys(("navy", "azure"), "blue"),
    **dict.fromkeys(("violet", "lilac"), "purple"),
    **dict.fromkeys(("magenta", "rose"), "pink"),
    **dict.fromkeys(("beige", "tan", "khaki"), "brown"),
    **dict.fromkeys(("gray", "silver", "greyish", "grayish"), "grey"),
    **dict.fromkeys(("pale", "bright"), "light"),
}
SAME_COLOUR = {"light": frozenset({"light", "white"}), "dark": frozenset({"dark", "black"})}
"""Where no colours can be seen (infra-red) the truth says light or dark; white and black mean the same then."""
PART_OF: dict[str, str] = {
    **dict.fromkeys(
        ("jacket", "coat", "shirt", "t-shirt", "hoodie", "sweater", "pullover", "top", "jumper", "vest", "clothes"),
        "upper",
    ),
    **dict.fromkeys(("trousers", "pants", "jeans", "skirt", "shorts", "leggings", "slacks"), "lower"),
    **dict.fromkeys(("backpack", "rucksack", "knapsack"), "backpack"),
}
CLOTHING_WORDS = frozenset(
    {
        "in",
        "a",
        "an",
        "the",
        "wearing",
        "wears",
        "dressed",
        "clad",
        "with",
        "and",
        "his",
        "her",
        "their",
        ",",
        "is",
        "are",
    }
)
"""What may stand between a person and the garments told of it."""

# --- motions ---------------------------------------------------------------------------------------------------

# In order: where two match at the same place the first wins ("stands up" before "stands").
MOTIONS: tuple[tuple[str, str], ...] = (
    ("cart", r"push(?:es|ed|ing)? (?:an? |the )?(?:\w+ )?(?:cart|trolley)|pushed along"),
    (
        "shoot",
        r"shoots?|shooting(?= at| an? | the )|shot|aim(?:s|ed|ing)? at"
        r"|fires? (?:an? |the |his |her )?(?:gun|pistol|weapon|shots?)",
    ),
    ("throw", r"throw(?:s|ing)?(?! (?:fire|smoke|debris))|threw|thrown(?= at)|hurl(?:s|ed|ing)?"),
    ("threaten", r"threaten(?:s|ed|ing)?|back(?:s|ed|ing)? (?:off|away)"),
    ("tease", r"teas(?:es?|ed|ing)|pok(?:es?|ed|ing)|jump(?:s|ed|ing)? away"),
    ("peer", r"peer(?:s|ed|ing)?|peek(?:s|ed|ing)?|glanc(?:es?|ed|ing)|creep(?:s|ing)?|crept|spy|spies"),
    ("bump", r"bump(?:s|ed|ing)?|stagger(?:s|ed|ing)?"),
    (
        "arrest",
        r"arrest(?:s|ed|ing)?(?= an? | the | some| by|$)|seiz(?:es?|ed|ing)|press(?:es|ed)? (?:\w+ ){0,2}?down"
        r"|(?:leads?|led) (?:\w+ )?(?:away|off)",
    ),
    ("abuse", r"abus(?:es?|ed|ing)|maltreat(?:s|ed|ing)?|cower(?:s|ed|ing)?"),
    (
        "break",
        r"br(?:eaks?|oke|eaking)(?! out)|broken|smash(?:es|ed|ing)?|vandalis(?:es?|ed|ing)|damag(?:es|ed|ing)"
        r"|destroy(?:s|ed|ing)?",
    ),
    ("climb", r"climb(?:s|ed|ing)?|forc(?:es|ed|ing)"),
    ("hide", r"hid(?:es?|den|ing)?|shoplift(?:s|ed|ing)?"),
    ("ignite", r"(?:sets?|setting) (?:\w+ ){1,3}?on fire|puts? a light to|commits? arson|ignit(?:es?|ed|ing)"),
    ("riot", r"riot(?:s|ed|ing)?"),
    ("skate", r"rid(?:es|ing) a skateboard|skat(?:es?|ed|ing)|skateboards"),
    ("play", r"play(?:s|ed|ing)?|roll(?:s|ed|ing)?|chas(?:es?|ed|ing)"),
    ("peck", r"peck(?:s|ed|ing)?|fl(?:y|ies) off|flew off"),
    ("wave", r"wav(?:es?|ed|ing)"),
    ("stop", r"ha(?:s|ve) to brake|stops? at"),
    ("flee", r"(?:run|runs|running|ran) (?:away(?! from the camera)|off)|flee(?:s|ing)?|fled|escap(?:es|ed|ing)"),
    ("approach", r"(?:run|runs|ran|walks?|comes?) up to|approach(?:es|ed|ing)?"),
    ("crash", r"crash(?:es|ed|ing)?|collid(?:es?|ed|ing)|(?:runs?|ran|drives?|drove|ploughs?) into|ram(?:s|med)?"),
    ("rise", r"(?:gets?|got|stands?|stood) up|(?:does not|doesn't) get up|rises?|rose"),
    ("fight", r"fight(?:s|ing)?|fought|punch(?:es|ed|ing)?|kick(?:s|ed|ing)?|exchang(?:es?|ing) (?:blows|punches)"),
    (
        "hit",
        r"hit(?:s|ting)?|strik(?:es?|ing)|struck|beat(?:s|en|ing)?|attack(?:s|ed|ing)?|assault(?:s|ed|ing)"
        r"|slap(?:s|ped)?|push(?:es|ed|ing)?|shov(?:es|ed|ing)",
    ),
    (
        "snatch",
        r"snatch(?:es|ed|ing)?|grab(?:s|bed|bing)?|tak(?:es|en|ing)(?! care| place| part)|took"
        r"|st(?:eals?|ealing|ole|olen)|robs|robbed",
    ),
    ("fall", r"fall(?:s|en|ing)?|fell|collaps(?:es|ed|ing)|goes down|drop(?:s|ped) to|faint(?:s|ed)?|stumbl(?:es|ed)"),
    ("fall", r"(?:thrown|knocked) (?:to|down|over)|trip(?:s|ped)"),
    ("lie", r"lies|lying|stays there"),
    (
        "put",
        r"puts? (?:\w+ ){0,4}down|leav(?:es|ing)|(?<!the )(?<!from )(?<!to )left(?! to| part| side| half)"
        r"|abandon(?:s|ed|ing)?|plac(?:es|ed|ing)",
    ),
    ("explode", r"explod(?:es|ed|ing)|blows? up|detonat(?:es|ed)"),
    ("burn", r"burn(?:s|ed|ing|t)?|(?:breaks|broke) out"),
    ("ride", r"rid(?:es|ing)|rode|cycl(?:es|ed)|pedal(?:s|ling)?"),
    ("drive", r"driv(?:es|ing)|drove"),
    ("run", r"run(?:s|ning)?|ran|jog(?:s|ging)?|sprint(?:s|ing)?|rush(?:es|ing)?|dash(?:es|ing)?"),
    ("walk", r"walk(?:s|ed|ing)?|stroll(?:s|ing)?"),
    ("stand", r"stand(?:s|ing)?|stood|wait(?:s|ing)?"),
    ("carry", r"carr(?:y|ies|ied|ying)"),
    ("lose", r"los(?:es?|ing)|lost"),
    ("sit", r"sit(?:s|ting)?|seated|sat"),
    ("talk", r"talk(?:s|ing)?|chat(?:s|ting)?"),
    ("greet", r"hug(?:s|ging)?|shak(?:es?|ing) hands"),
    ("stoop", r"bend(?:s|ing)?|bent|stoop(?:s|ing)?|t(?:ies|ying) a shoe"),
    ("move", r"mov(?:es|ed|ing)|faces? each other"),
)
MOTION = re.compile("|".join(rf"(?P<m{i}>\b(?:{pattern})\b)" for i, (_, pattern) in enumerate(MOTIONS)))
TRANSITIVE = frozenset({
    "hit", "snatch", "crash", "fight", "approach", "shoot", "throw", "threaten", "tease", "peer", "bump", "arrest",
    "abuse", "break",
})  # fmt: skip
"""Their object, if it is a person or vehicle, is the one it is done to."""
SUFFERED = frozenset({"fall"})
"""Who does this suffers it."""
PASSIVE = re.compile(r"\b(?:is|are|was|were|gets?|got|being|been)(?: \w+ly)? $")
LIKE: dict[str, frozenset[str]] = {
    "fight": frozenset({"fight", "hit"}),
    "hit": frozenset({"hit", "fight", "crash"}),
    "crash": frozenset({"crash", "hit"}),
    "flee": frozenset({"flee", "run"}),
    "run": frozenset({"run", "flee"}),
}
"""Motions that a fair reader takes for one another."""
OF_CATEGORY: dict[str, frozenset[str]] = {
    "running": frozenset({"run", "flee", "move"}),
    "cycling": frozenset({"ride", "move"}),
    "driving": frozenset({"drive", "move"}),
    "fighting": frozenset({"fight", "hit", "move"}),
    "assault": frozenset({"hit", "fight", "fall", "lie", "approach", "flee"}),
    "robbery": frozenset({"snatch", "flee", "run", "approach", "lose"}),
    "falling": frozenset({"fall", "lie", "rise"}),
    "collision": frozenset({"crash", "hit", "fall", "lie", "stand", "drive"}),
    "explosion": frozenset({"explode", "burn"}),
    "fire": frozenset({"burn", "rise"}),
    "abandoned object": frozenset({"put", "walk", "lie"}),
    "shooting": frozenset({"shoot", "fall", "lie", "flee", "run", "burn"}),
    "threatening": frozenset({"threaten", "flee"}),
    "riot": frozenset({"riot", "run", "throw", "hit", "fight"}),
    "abuse": frozenset({"abuse", "hit", "fight"}),
    "arrest": frozenset({"arrest", "fall", "lie", "hit"}),
    "stealing": frozenset({"snatch", "put", "flee", "lose"}),
    "shoplifting": frozenset({"snatch", "hide", "put", "flee"}),
    "burglary": frozenset({"break", "climb", "hit"}),
    "glance": frozenset({"peer", "approach", "stand", "fall"}),
    "vandalism": frozenset({"break", "hit", "fight", "fall"}),
    "arson": frozenset({"ignite", "burn", "rise", "flee", "run", "put"}),
    "throwing": frozenset({"throw", "hit", "fall", "lie"}),
    "teasing": frozenset({"tease", "hit", "run"}),
    "bumping": frozenset({"bump", "fall", "lie", "crash", "hit", "rise", "stop"}),
    "traffic": frozenset({"drive", "walk", "move", "stop", "run"}),
}
"""What those in an event of a category do."""

# --- directions and times --------------------------------------------------------------------------------------

DIRECTIONS: tuple[tuple[str, re.Pattern[str]], ...] = (
    ("left to right", re.compile(r"left to (?:the )?right|rightwards?|(?:to|towards?) the right(?! part| side| of)")),
    ("right to left", re.compile(r"right to (?:the )?left|leftwards?|(?:to|towards?) the left(?! part| side| of)")),
    (
        "towards the camera",
        re.compile(r"(?:towards?|closer to|to) the (?:camera|viewer)|(?:approach|near)(?:es|ing) the camera"),
    ),
    ("away from the camera", re.compile(r"away from the (?:camera|viewer)|into the (?:distance|background)")),
)
_OF_A_THING = r"(?! of the (?!clip|video|recording|footage|sequence|scene))"
WHEN: tuple[tuple[str, re.Pattern[str]], ...] = (
    (
        "beginning",
        re.compile(rf"\b(?:(?:at|in|near) the (?:very )?(?:beginning|start)|early on|initially){_OF_A_THING}"),
    ),
    ("middle", re.compile(rf"\b(?:in|near|around|at) the middle{_OF_A_THING}|\bhalfway\b|\bmidway\b")),
    ("end", re.compile(rf"\b(?:at|near|towards?) the (?:very )?end{_OF_A_THING}|\bin the last (?:part|seconds)")),
)
_NUMBER = r"(\d+(?:\.\d+)?)\s*(?:s\b|sec\b|seconds?\b)?"
TIME_SPAN = re.compile(
    rf"\b(?:from|between)\s+(?:second\s+)?{_NUMBER}\s*(?:to|and|until|-|–)\s*(?:second\s+)?{_NUMBER}"
)
TIME_POINT = re.compile(
    r"\b(?:at|after|around|about|from|until|by)\s+(?:about |around |second )?(\d+(?:\.\d+)?)\s*s\w*"
)

# --- categories ------------------------------------------------------------------------------------------------

CATEGORY_CUES: dict[str, re.Pattern[str]] = {
    "running": re.compile(r"\brunning (?:is|on|in|through|event|anomaly)\b|much faster than|\bin a hurry\b"),
    "cycling": re.compile(r"\bcycling\b|\bbicycle moves fast"),
    "driving": re.compile(
        r"\bdriving (?:is|on|in|through)\b|\bmotor vehicle has|endangers the ped|vehicle on the (?:side)?walk"
    ),
    "fighting": re.compile(
        r"\bfight\w*|\bfought\b|\bbrawl\w*|\bscuffle\w*|blows and kicks"
        r"|(?:exchang\w+|trad\w+) (?:of )?(?:blows|punches)"
        r"|(?:hit|strike|punch|beat|kick)(?:s|es|ing)? (?:one another|each other)|blows? (?:and kicks )?are exchanged"
    ),
    "assault": re.compile(
        r"\bassault\w*|\battack\w*|\bbeat(?:s|en|ing)?\b|\bviolence against"
        r"|\bpush(?:es|ed|ing)?\b(?! along| (?:an? |the )?(?:\w+ )?(?:cart|trolley))|\bshov(?:es|ed|ing)\b"
    ),
    "robbery": re.compile(
        r"\brob(?:s|bed|bing|bery)\b|\bsnatch\w*|\bsteal\w*|\bstole\b|\btheft\b|\bthief\b|\bmugg\w+|hands by force"
        r"|\b(?:takes?|grabs?|taking|grabbing|took|grabbed)\b(?! care).{0,40}"
        r"\b(?:bag|suitcase|property|handbag|luggage)\b"
    ),
    "falling": re.compile(
        r"\bfall(?:s|ing|en)?\b|\bfell\b|\bcollaps\w+|\bfaint\w*|\bstumbl\w+|drops? to the ground|lies on the ground"
    ),
    "collision": re.compile(
        r"\bcollision\w*|\bcollid\w+|\bcrash\w*|\bhit by (?:a|the|another) (?:\w+ )?(?:car|van|truck|bus|vehicle)\b"
        r"|\bruns? (?:into|over)\b|\bran over\b|\bvehicles touch|\bvehicle hits\b|\baccident\b"
    ),
    "explosion": re.compile(r"\bexplo\w+|\bblast\w*|\bblows? up\b|\bdetonat\w+|\bburst out\b"),
    "fire": re.compile(r"(?<!ball of )\bfire\b(?! and debris)|\bflames?\b|\bburn(?:s|ing|t)?\b|\bblaze\b|\barson\b"),
    "shooting": re.compile(
        r"\bshooting\b|\bshoots?\b|\bshot (?:by|at|down)\b|\bgun\w*|\bfirearm|\bfires? (?:a|the) (?:weapon|pistol|shot)"
    ),
    "threatening": re.compile(r"\bthreaten\w*|\bintimidat\w+"),
    "riot": re.compile(r"\briot\w*|\bunrest\b"),
    "abuse": re.compile(r"\babus\w+|\bmaltreat\w*|\bcruel\w*"),
    "arrest": re.compile(r"\barrest\w*|\bhandcuff\w*|\bled (?:away|off)\b|\bleads? \w+ (?:away|off)\b"),
    "stealing": re.compile(
        r"\bunwatched\b|\bpickpocket\w*|\bput down by\b.{0,140}\bstol|\b(?:steals?|stole|takes?)\b.{0,140}\bput down\b"
        r"|\bwithout (?:any )?force\b|\bstealing(?= is abnormal|[.]|$)|\bin secret and\b|looks away and notices nothing"
    ),
    "shoplifting": re.compile(
        r"\bshoplift\w*|\b(?:off|from) the shelf\b|\bhid\w* .{0,40}under (?:the|his|her) jacket"
        r"|\bwithout paying|\bnot paid for"
    ),
    "burglary": re.compile(
        r"\bburgla\w+|\bbreak(?:s|ing)? in(?:to)?\b|\bbroke in(?:to)?\b|\bbreak-in\b"
        r"|\bforc(?:es|ed|ing) (?:open )?(?:a|the) (?:\w+ )?(?:window|door|shutter)"
        r"|\bclimb(?:s|ed|ing)? in(?:to|side)?\b"
    ),
    "glance": re.compile(r"\bglanc(?:es?|ed|ing)\b|\bpeer(?:s|ed|ing)?\b|\bpeek\w*|over (?:the|his|her|a) shoulder"),
    "vandalism": re.compile(r"\bvandal\w*|\bdamag(?:es|ed|ing)\b|\bdestroys?\b|\bsmash\w*|\bbreaks? off\b"),
    "arson": re.compile(r"\barson\w*|\bon fire on purpose|\b(?:sets?|setting|set) .{0,40}on fire\b|\bputs? a light to"),
    "throwing": re.compile(
        r"\bthrowing\b|\bthrown at\b|\b(?:throws?|threw|hurls?)\b (?:an? |the )?(?:\w+ )?"
        r"(?:stones?|bottles?|objects?|bricks?|things?)\b"
    ),
    "teasing": re.compile(r"\bteas(?:es?|ed|ing)\b|\bpok(?:es?|ed|ing)\b|\btaunt\w*|\bmock(?:s|ed|ing)?\b"),
    "bumping": re.compile(r"\bbump\w*|\b(?:walk|run)s? into (?:each other|one another)"),
    "traffic": re.compile(
        r"\bwrong (?:side|way|lane)\b|\bagainst the traffic|\binto the traffic|\bdanger to traffic"
        r"|\btraffic (?:danger|hazard)|\bbetween (?:\w+ )?(?:moving|driving) (?:cars|vehicles)|\brules of traffic"
    ),
    "abandoned object": re.compile(
        r"\babandon\w*|\bunattended\b|\b(?:left|leaves|stays|leaving) behind\b|goes away and nobody|away without it"
        r"|\b(?:puts?|leaves?|placed|left|leaving)\b(?!.{0,60}\bpick).{0,40}\b(?:bag|suitcase|package|luggage|parcel)\b"
        r"|\b(?:bag|suitcase|package|luggage|parcel) is (?:left|placed|put)\b"
    ),
}
STRUCK = re.compile(r"\b(?:hit|hits|hitting|strikes?|struck|knocks?)\b")
"""An assault among people, a collision where a vehicle takes part."""
WEAK_CUES = {"run": "running", "ride": "cycling", "drive": "driving"}
"""Motions that are an anomaly in some places and ordinary in others: they name a category if nothing else does."""
COVERS: dict[str, frozenset[str]] = {
    "robbery": frozenset({"assault", "falling", "fighting", "running"}),
    "collision": frozenset({"assault", "falling", "driving", "running"}),
    "explosion": frozenset({"fire", "running"}),
    "fighting": frozenset({"assault", "falling"}),
    "assault": frozenset({"falling", "running"}),
    "fire": frozenset({"running"}),
    "cycling": frozenset({"running", "driving"}),
    "shooting": frozenset({"assault", "falling", "running", "fire"}),
    "threatening": frozenset({"assault", "fighting", "running"}),
    "riot": frozenset({"assault", "fighting", "running", "throwing", "vandalism", "collision", "falling"}),
    "abuse": frozenset({"assault", "fighting", "falling"}),
    "arrest": frozenset({"assault", "falling", "running"}),
    "stealing": frozenset({"robbery", "abandoned object", "assault", "fighting", "running"}),
    "shoplifting": frozenset({"robbery", "stealing", "abandoned object"}),
    "burglary": frozenset({"vandalism", "robbery", "assault", "stealing"}),
    "glance": frozenset({"assault", "robbery", "stealing"}),
    "vandalism": frozenset({"assault", "fighting", "collision"}),
    "arson": frozenset({"fire", "running", "vandalism"}),
    "throwing": frozenset({"assault", "collision", "falling"}),
    "teasing": frozenset({"assault", "fighting"}),
    "bumping": frozenset({"collision", "falling", "assault"}),
    "traffic": frozenset({"driving", "running", "collision"}),
}
"""What is part of telling a category and no category of its own then: the victim of an assault falls."""
NAMES = re.compile(
    r"\b(?:(running|cycling|driving|falling|shooting|threatening|riot|abuse|arrest|stealing|shoplifting|burglary|glance"
    r"|vandalism|arson|throwing|teasing|bumping|traffic))\b"
)
"""Categories by their bare names, where an answer names its category outright."""
SUPPOSED = re.compile(r"\b(?:could|may|might|can(?! be seen)|perhaps|possibly|likely|probably|should|would|if)\b")
NEGATED = re.compile(
    r"\b(?:no|not|nobody is|no one is|without|never|nor)\s+(?:(?:sign|evidence|trace)s?\s+of\s+)?"
    r"(?:(?:a|an|any|being)\s+)?\w+(?:, \w+(?= or| nor|,))*(?:,? (?:or|nor) (?:a |an |any )?\w+)*"
)
CALM = re.compile(
    r"\bno (?:reason|cause|need) (?:\w+ ){0,3}alarm|\bnothing special|\beveryday life|\bordinary moment|\bnormal life"
    r"|\bno (?:violence|accident|danger)\b|\bnothing (?:is )?out of (?:place|the ordinary)"
)
HELPERS = re.compile(r"\bfire[ -]?(?:brigade|fighters?|department|engine|truck)\b")
