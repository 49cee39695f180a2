"""COCO's 80 object classes and the words people use for them."""

from __future__ import annotations

import re
from dataclasses import dataclass

# One class a line, then other words for it. Written for this project; plurals are made by `_plural`.
_WORDS = """
person: man, woman, boy, girl, child, kid, baby, toddler, guy, lady, gentleman, adult, teenager, player, skier, \
surfer, snowboarder, skateboarder, rider, cyclist, pedestrian, worker, officer, policeman, chef, tourist
bicycle: bike
car: automobile, sedan, suv, taxi, cab, hatchback, jeep, minivan
motorcycle: motorbike, motor bike, scooter, moped
airplane: plane, aeroplane, aircraft, jet, airliner, jetliner
bus: coach, minibus, double decker
train: locomotive, tram, subway train
truck: lorry, pickup, semi, fire engine, van
boat: ship, sailboat, canoe, kayak, ferry, yacht, rowboat, dinghy
traffic light: stoplight, traffic signal, street light signal
fire hydrant: hydrant
stop sign
parking meter
bench
bird: pigeon, seagull, duck, goose, parrot, owl, swan, sparrow, eagle, crow, ostrich
cat: kitten, kitty
dog: puppy, pup, terrier, hound
horse: pony, foal, mare, stallion
sheep: lamb, ewe
cow: cattle, bull, calf, ox
elephant
bear: cub, grizzly
zebra
giraffe
backpack: rucksack, knapsack
umbrella: parasol
handbag: purse, pocketbook
tie: necktie, bow tie
suitcase: suit case, luggage
frisbee: flying disc
skis: ski
snowboard
sports ball: ball, football, soccer ball, basketball, baseball, tennis ball, volleyball
kite
baseball bat: bat
baseball glove: baseball mitt, catcher's mitt
skateboard
surfboard
tennis racket: racket, racquet, tennis racquet
bottle: beer bottle, water bottle
wine glass: wineglass, goblet
cup: mug, teacup, coffee cup
fork
knife
spoon
bowl
banana
apple
sandwich: burger, hamburger, cheeseburger
orange: tangerine
broccoli
carrot
hot dog: hotdog
pizza
donut: doughnut
cake: cupcake, cheesecake
chair: armchair, stool
couch: sofa, loveseat
potted plant: houseplant, pot plant
bed
dining table: table, desk
toilet
tv: television, monitor
laptop: notebook computer, laptop computer
mouse: computer mouse
remote: remote control
keyboard
cell phone: phone, cellphone, mobile phone, smartphone
microwave: microwave oven
oven: stove
toaster
sink: washbasin
refrigerator: fridge
book
clock
vase
scissors
teddy bear: teddy, stuffed bear
hair drier: hair dryer, hairdryer, blow dryer
toothbrush
"""

_IRREGULAR = {
    "person": ["people", "persons"],
    "man": ["men"],
    "woman": ["women"],
    "child": ["children"],
    "knife": ["knives"],
    "mouse": ["mice", "mouses"],
    "goose": ["geese"],
    "calf": ["calves"],
    "ox": ["oxen"],
    "sheep": ["sheep"],
    "cattle": ["cattle"],
    "aircraft": ["aircraft"],
    "gentleman": ["gentlemen"],
    "policeman": ["policemen"],
    "broccoli": ["broccoli"],
    "scissors": ["scissors"],
    "skis": ["skis"],
}

# A word of these pairs that names a class elsewhere is part of another thing here.
_NO_OBJECT = ("train track", "train station", "orange juice", "car seat", "dog house", "bus stop", "home plate")
# Orange is a colour unless it stands where a thing stands: behind an article or number and before no noun.
_ORANGE_IS_A_COLOUR = re.compile(r"\borange(?=\s+(?!and\b|on\b|in\b|at\b|by\b|with\b|is\b|are\b|near\b|next\b)[a-z])")


@dataclass(frozen=True)
class Mention:
    """An object named in a text: its COCO class and the characters that name it."""

    cls: str
    start: int
    end: int


def mentions(text: str) -> list[Mention]:
    """The COCO objects that a text names, in order, longest names first ("hot dog" is no dog).

    >>> [m.cls for m in mentions("Two dogs chase a hot dog past an orange bus at the train station")]
    ['dog', 'hot dog', 'bus']
    """
    lowered = text.lower()
    colours = {match.start() for match in _ORANGE_IS_A_COLOUR.finditer(lowered)}
    return [
        Mention(_CLASS_OF[_one_space(match[0])], match.start(), match.end())
        for match in _NAMES.finditer(lowered)
        if _one_space(match[0]) in _CLASS_OF and match.start() not in colours
    ]


def _one_space(text: str) -> str:
    return " ".join(text.split())


def _plural(name: str) -> list[str]:
    """
    >>> _plural("traffic light"), _plural("bus"), _plural("puppy"), _plural("man")
    (['traffic lights'], ['buses'], ['puppies'], ['men'])
    """
    head, _, last = name.rpartition(" ")
    lead = f"{head} " if head else ""
    if last in _IRREGULAR:
        return [lead + plural for plural in _IRREGULAR[last]]
    if last.endswith(("s", "x", "z", "ch", "sh")):
        return [f"{lead}{last}es"]
    if last.endswith("y") and last[-2] not in "aeiou":
        return [f"{lead}{last[:-1]}ies"]
    return [f"{lead}{last}s"]


def _read() -> dict[str, tuple[str, ...]]:
    classes = {}
    for line in _WORDS.strip().splitlines():
        cls, _, others = line.partition(":")
        classes[cls] = (cls, *(word.strip() for word in others.split(",") if word.strip()))
    return classes


SYNONYMS = _read()
COCO = tuple(SYNONYMS)
_CLASS_OF = {form: cls for cls, names in SYNONYMS.items() for name in names for form in (name, *_plural(name))}
_NAMES = re.compile(
    r"(?<![\w-])(?:"
    + "|".join(
        re.escape(form).replace(r"\ ", r"\s+") for form in sorted([*_CLASS_OF, *_NO_OBJECT], key=len, reverse=True)
    )
    + r")(?![\w-])"
)
