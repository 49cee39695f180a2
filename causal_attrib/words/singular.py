"""The singular of a noun, as CHAIR's script has it: with every mistake of its library.

The script calls `pattern.en.singularize` (De Smedt & Daelemans, 2012, "Pattern for Python", after Bermi Ferrer's
inflector). The table below gives the same answer for lower-case words without hyphen or apostrophe, as are all words of
CHAIR's lexicon. The mistakes are part of every published CHAIR number: "bus" becomes "bu", "glass" "glas", "ties" "ty",
"police" "polouse".
"""

from __future__ import annotations

from collections.abc import Collection
from functools import cache

# A word that is the end of one of these stays as it is: so does "rs", the end of "scissors" and others.
_UNCHANGED = """
breeches britches chassis christmas clippers contretemps corps debris diabetes gallows georgia graffiti happiness
headquarters herpes high-jinks innings jackanapes mathematics measles mews mumps news pincers pliers proceedings
progress rabies scissors series shears species swiss
""".split()

# Their plurals come back as plurals, which is a mistake too: "collies" stays "collies".
_IE = tuple(
    """
alergies aunties beanies birdies bogies bombies bookies collies cookies cuties doggies eyries freebies goonies groupies
hankies hippies hoagies hotties indies junkies laddies laramies lingeries meanies nighties oldies pixies quickies
reveries rookies softies sorties stoolies sweeties techies toughies valkyries veggies weenies yuppies zombies
""".split()
)

# What these end is changed too: "women", and by mistake "hour" (to "hmy").
_IRREGULAR = {
    plural: single
    for plural, single in (
        pair.split(":")
        for pair in """
atlantes:atlas atlases:atlas axes:axe beeves:beef brethren:brother children:child corpora:corpus corpuses:corpus
ephemerides:ephemeris feet:foot ganglia:ganglion geese:goose genera:genus genii:genie graffiti:graffito helves:helve
kine:cow loaves:loaf men:man monies:money mythoi:mythos numena:numen occipita:occiput octopodes:octopus opera:opus
opuses:opus our:my oxen:ox penes:penis penises:penis people:person teeth:tooth turves:turf zoa:zoon
""".split()
    )
}


def _endings() -> list[tuple[str, str]]:
    """Plural endings and what stands in their place, in the order in which they are tried."""
    table = [("ae", "a"), ("itis", "itis"), ("eaux", "eau"), ("quizzes", "quiz"), ("matrices", "matrix")]
    table += [(f"{stem}ices", f"{stem}ex") for stem in ("ap", "vert", "ind")]
    table += [("aliases", "alias"), ("statuses", "status")]
    table += [(f"{letter}i", f"{letter}us") for letter in "octpvir"]
    table += [("crises", "crisis"), ("axes", "axis"), ("testes", "testis")]
    table += [("shoes", "shoe"), ("oes", "o"), ("buses", "bus"), ("mice", "mouse"), ("lice", "louse")]
    table += [("xes", "x"), ("ches", "ch"), ("sses", "ss"), ("shes", "sh")]
    table += [("movies", "movie"), ("ombies", "ombie"), ("series", "series"), ("quies", "quy")]
    table += [(f"{letter}ies", f"{letter}y") for letter in "bcdfghjklmnpqrstvwxz"]
    table += [(f"{letter}lves", f"{letter}lf") for letter in "aeo"]
    table += [("deaves", "deave"), ("eaves", "eaf"), ("arves", "arf"), ("erves", "erve")]
    table += [(f"{letter}ives", f"{letter}ife") for letter in "nlw"]
    table += [("lves", "lf"), ("rves", "rf"), ("aves", "ave"), ("eves", "eve"), ("oves", "ove")]
    table += [("sives", "sive"), ("tives", "tive"), ("hives", "hive"), ("fves", "fve"), ("ves", "fe")]
    table += [("analyses", "analyasis"), ("bases", "basis"), ("diagnoses", "diagnosis"), ("parentheses", "parenthesis")]
    table += [("prognoses", "prognosis"), ("synopses", "synopsis"), ("theses", "thesis")]
    table += [("opses", "opsis"), ("yses", "ysis")]
    table += [(f"{stem}oses", f"{stem}ose") for stem in ("h", "d", "r", "o", "n", "b", "cl", "p")]
    table += [("oses", "osis"), ("ta", "tum"), ("ia", "ium"), ("news", "news"), ("s", "")]
    return table


_ENDINGS = _endings()
_WHOLE = {"analyses": "analysis", "eaves": "eave"}  # not so where they only end a word


@cache
def singular(word: str) -> str:
    """The singular that CHAIR's script sees.

    >>> [singular(word) for word in "dogs women knives buses couches teddies scissors".split()]
    ['dog', 'woman', 'knife', 'bus', 'couch', 'teddy', 'scissors']
    >>> [singular(word) for word in "bus glass tennis ties collies".split()]
    ['bu', 'glas', 'tenni', 'ty', 'collies']
    """
    if any(unchanged.endswith(word) for unchanged in _UNCHANGED) or word.endswith(_IE):
        return word
    for plural, single in _IRREGULAR.items():
        if word.endswith(plural):
            return word.removesuffix(plural) + single
    if word in _WHOLE:
        return _WHOLE[word]
    for plural, single in _ENDINGS:
        if word.endswith(plural):
            return word.removesuffix(plural) + single
    return word


def singular_in(word: str, known: Collection[str]) -> str:
    """The singular of a word among `known` words, without the mistakes: those words stay as they are.

    >>> [singular_in(word, {"bus", "tie", "dog"}) for word in ("bus", "ties", "dogs")]
    ['bus', 'tie', 'dog']
    """
    if word in known:
        return word
    single = singular(word)
    return word[:-1] if single not in known and word.endswith("s") and word[:-1] in known else single
