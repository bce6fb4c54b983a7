"""The miniature's phrase book in French.

A noun is written "m avion" or "f route"; its plural follows the rule of `plural` unless it is given after a slash.
"[entouré/entourée] de" agrees: masculine and feminine, the plurals by the same rule, or all four forms
(masculine, feminine, masculine plural, feminine plural); "=" before a word says that it never changes. A verb is
"singular/plural". Prepositions are written before the contraction: "près de" + "le parc" becomes "près du parc".
"""

import re

from standins.phrasebook.language import Language

NOUNS = {
    "airport": "m aéroport",
    "airplane": "m avion",
    "bare land": "f terre nue",
    "bareland": "f terre nue",
    "baseball diamond": "m losange de baseball",
    "baseball field": "m terrain de baseball",
    "basketball court": "m terrain de basket",
    "basketball field": "m terrain de basket",
    "beach": "f plage",
    "bell tower": "m clocher",
    "boat": "m bateau",
    "bridge": "m pont",
    "building": "m bâtiment",
    "campus": "m campus",
    "car": "f voiture",
    "center": "m centre",
    "center building": "m bâtiment central",
    "church": "f église",
    "color": "f couleur",
    "commercial area": "f zone commerciale",
    "commercial district": "m quartier commercial",
    "crop": "f culture",
    "deep valley": "f vallée profonde",
    "dense residential area": "f zone résidentielle dense",
    "desert": "m désert",
    "dome": "m dôme",
    "dune": "f dune",
    "empty parking space": "f place de parking vide/places de parking vides",
    "factory": "f usine",
    "farmland": "f terre agricole",
    "football field": "m terrain de football",
    "forest": "f forêt",
    "fountain": "f fontaine",
    "garden": "m jardin",
    "glade": "f clairière",
    "ground": "m sol",
    "ground track field": "m terrain d'athlétisme",
    "harbor": "m port",
    "house": "f maison",
    "industrial area": "f zone industrielle",
    "infield": "m champ intérieur",
    "lake": "m lac",
    "land": "f campagne",
    "lawn": "f pelouse",
    "long building": "m long bâtiment",
    "long roof": "m long toit",
    "long shadow": "f longue ombre",
    "loop": "f boucle",
    "meadow": "f prairie",
    "medium residential area": "f zone résidentielle moyenne",
    "mountain": "f montagne",
    "ocean": "m océan",
    "overpass": "m pont routier",
    "park": "m parc",
    "parking lot": "m parking",
    "path": "m chemin",
    "pavilion": "m pavillon",
    "plane": "m avion",
    "plant": "f plante",
    "playground": "m terrain de jeux",
    "pond": "m étang",
    "port": "m port",
    "railway station": "f gare",
    "railway track": "f voie ferrée",
    "resort": "m complexe touristique",
    "ridge": "f crête",
    "ripple": "f ondulation",
    "river": "f rivière",
    "road": "f route",
    "row of waves": "f rangée de vagues",
    "runway": "f piste",
    "school": "f école",
    "sea": "f mer",
    "ship": "m navire",
    "snow": "f neige",
    "sparse residential area": "f zone résidentielle clairsemée",
    "sports ground": "m terrain de sport",
    "square": "f place",
    "stadium": "m stade",
    "storage tank": "m réservoir de stockage",
    "swimming pool": "f piscine",
    "tall building": "m grand immeuble",
    "terminal building": "f aérogare",
    "tower": "f tour",
    "trail": "m sentier",
    "train": "m train",
    "train station": "f gare",
    "tree": "m arbre",
    "umbrella": "m parasol",
    "viaduct": "m viaduc",
    "wave": "f vague",
    "wide forecourt": "m large parvis",
}

MEASURE = "f étendue de/étendues de"
"""For "piece of"."""

ADJECTIVES = {
    "white": "blanc/blanche",
    "gray": "gris/grise",
    "blue": "bleu/bleue/bleus/bleues",
    "green": "vert/verte",
    "red": "rouge",
    "brown": "=marron",
    "yellow": "jaune",
    "orange": "=orange",
    "curved": "sinueux/sinueuse",
    "rectangular": "rectangulaire",
    "irregular": "irrégulier/irrégulière",
    "round": "rond/ronde",
    "oval": "ovale",
    "hexagonal": "hexagonal/hexagonale",
    "ring-shaped": "=en forme d'anneau",
}

NUMBERS = {
    "two": "deux",
    "three": "trois",
    "four": "quatre",
    "five": "cinq",
    "six": "six",
    "seven": "sept",
    "eight": "huit",
    "nine": "neuf",
}

QUANTITIES = {
    "several": "plusieurs",
    "some": "quelques",
    "many": "de [nombreux/nombreuse]",
    "a lot of": "beaucoup de",
    "lots of": "beaucoup de",
    "a large number of": "un grand nombre de",
}

VERBS = {
    "is/are": "se trouve/se trouvent",
    "is/are (state)": "est/sont",
    "is/are (quality)": "est/sont",
    "connects/connect": "relie/relient",
    "crosses/cross": "se croise/se croisent",
    "flows/flow": "coule/coulent",
    "forms/form": "forme/forment",
    "grows/grow": "pousse/poussent",
    "here is/here are": "ici il y a/ici il y a",
    "is beating/are beating": "déferle/déferlent",
    "is winding/are winding": "serpente/serpentent",
    "leads/lead": "mène/mènent",
    "lies/lie": "se situe/se situent",
    "stands/stand": "se dresse/se dressent",
    "there is/there are": "il y a/il y a",
    "throws/throw": "projette/projettent",
    "winds/wind": "serpente/serpentent",
}

PHRASES = {
    "it is": "c'est",
    "this is": "voici",
    "these are": "ce sont",
    "close together": "[serré/serrée] [l'un/l'une/les uns/les unes] contre [l'autre/l'autre/les autres/les autres]",
    "orderly together": "[disposé/disposée] en ordre",
    "parked": "[garé/garée]",
    "planted": "[planté/plantée]",
    "surrounded by": "[entouré/entourée] de",
    "together": "ensemble",
    "dry and bare": "[sec/sèche] et [nu/nue]",
    "steep and high": "[escarpé/escarpée] et [haut/haute]",
    "wide and flat": "[vaste] et [plat/plate]",
    "along": "le long de",
    "among": "parmi",
    "around": "autour de",
    "at the quay of": "à quai dans",
    "beside": "à côté de",
    "between": "entre",
    "in": "dans",
    "in the middle of": "au milieu de",
    "in two sides of": "des deux côtés de",
    "near": "près de",
    "next to": "à côté de",
    "on": "sur",
    "on both sides of": "des deux côtés de",
    "over": "au-dessus de",
    "through": "à travers",
    "around .": "autour",
    "here": "ici",
    "in it": "à l'intérieur",
    "in orderly rows": "en rangées ordonnées",
    "in rows": "en rangées",
    "orderly in rows": "en rangées ordonnées",
    "over it": "qui la traverse",
    "grass covers": "l'herbe recouvre",
    "many sands form": "beaucoup de sable forme",
    "the two sides of": "les deux rives de",
    "there is nothing but sand in": "il n'y a que du sable dans",
    "we can see": "on peut voir",
    "white snow covers part of": "la neige blanche recouvre une partie de",
    "wind has drawn": "le vent a dessiné",
    "and": "et",
    "of": "de",
    "with": "avec",
}

ENGLISH = {
    "avion": "aircraft/aircraft",
    "place de parking vide": "vacant parking space",
    "terrain d'athlétisme": "athletics field",
    "aérogare": "airport terminal",
    "navire": "vessel",
    "grand immeuble": "high-rise building",
    "étendue de/étendues de": "stretch of/stretches of",
    "quelques": "a few",
    "de [nombreux/nombreuse]": "numerous",
    "beaucoup de": "a lot of",
    "un grand nombre de": "a great number of",
    "c'est": "it's",
    "voici": "here is",
    "on peut voir": "one can see",
    "en rangées ordonnées": "in neat rows",
    "[serré/serrée] [l'un/l'une/les uns/les unes] contre [l'autre/l'autre/les autres/les autres]": "packed together",
    "[disposé/disposée] en ordre": "arranged in order",
    "à côté de": "next to",
    "des deux côtés de": "on both sides of",
    "à l'intérieur": "inside",
    "qui la traverse": "crossing it",
    "au-dessus de": "above",
    "l'herbe recouvre": "the grass covers",
    "beaucoup de sable forme": "a lot of sand forms",
    "les deux rives de": "the two banks of",
    "la neige blanche recouvre une partie de": "white snow covers a part of",
    "le vent a dessiné": "the wind has drawn",
    "il n'y a que du sable dans": "there is only sand in",
    "serpente/serpentent": "winds/wind",
    "déferle/déferlent": "breaks/break",
    "projette/projettent": "casts/cast",
    "[escarpé/escarpée] et [haut/haute]": "steep and tall",
    "[vaste] et [plat/plate]": "vast and flat",
}
"""What a translator from French says where there is more than one English word; else the first word above."""


def plural(word: str) -> str:
    """Regular plural of one word."""
    if word[-1] in "sxz":
        return word
    if word.endswith("al"):
        return word[:-2] + "aux"
    return word + ("x" if word.endswith(("eau", "eu")) else "s")


def contract(text: str) -> str:
    """Joins prepositions and articles with what follows them."""
    text = re.sub(r"\bdes (?=longs?\b|longues?\b|larges?\b|grands?\b)", "de ", text)
    text = re.sub(r"\bde (?=des |de )", "", re.sub(r"\bde des ", "de ", text))
    text = re.sub(r"\b([dl])[ea] (?=[aeiouâéèêîôœ])", r"\1'", text)
    for pair, joined in {"de le": "du", "de les": "des", "à le": "au", "à les": "aux"}.items():
        text = re.sub(rf"\b{pair}\b", joined, text)
    return text


LANGUAGE = Language(
    code="fr",
    name="French",
    nouns=NOUNS,
    measure=MEASURE,
    adjectives=ADJECTIVES,
    numbers=NUMBERS,
    quantities=QUANTITIES,
    verbs=VERBS,
    phrases=PHRASES,
    definite="le/la/les/les",
    indefinite="un/une/des/des",
    bare="des",
    english=ENGLISH,
    capitalized=True,
    color_first=False,
    plural=plural,
    contract=contract,
)
