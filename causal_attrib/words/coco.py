"""COCO's 80 object classes and the words people use for them."""

from __future__ import annotations

# One class a line, then other words for it. Written for this project; the matcher takes plurals back to them.
_WORDS = """
person: man, woman, boy, girl, child, kid, baby, toddler, guy, lady, gentleman, adult, teenager, player, skier, \
surfer, snowboarder, skateboarder, rider, cyclist, pedestrian, worker, officer, policeman, chef, tourist
bicycle: bike
car: automobile, sedan, suv, taxi, cab, hatchback, jeep, minivan
motorcycle: motorbike, motor bike, scooter, moped
airplane: plane, aeroplane, aircraft, jet, airliner, jetliner
bus: coach, minibus, double decker, double decker bus
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


def _read() -> dict[str, tuple[str, ...]]:
    classes = {}
    for line in _WORDS.strip().splitlines():
        cls, _, others = line.partition(":")
        classes[cls] = (cls, *(word.strip() for word in others.split(",") if word.strip()))
    return classes


SYNONYMS = _read()
CLASSES = tuple(SYNONYMS)
