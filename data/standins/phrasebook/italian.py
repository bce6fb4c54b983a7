"""The miniature's phrase book in Italian; `french` explains the notation."""

import re

from standins.phrasebook.language import Language

NOUNS = {
    "airport": "m aeroporto",
    "airplane": "m aereo/aerei",
    "bare land": "m terreno spoglio",
    "bareland": "m terreno spoglio",
    "baseball diamond": "m diamante da baseball",
    "baseball field": "m campo da baseball",
    "basketball court": "m campo da basket",
    "basketball field": "m campo da basket",
    "beach": "f spiaggia",
    "bell tower": "m campanile",
    "boat": "f barca",
    "bridge": "m ponte",
    "building": "m edificio",
    "campus": "m campus",
    "car": "f auto/auto",
    "center": "m centro",
    "center building": "m edificio centrale",
    "church": "f chiesa",
    "color": "m colore",
    "commercial area": "f area commerciale",
    "commercial district": "m quartiere commerciale",
    "crop": "f coltura",
    "deep valley": "f valle profonda",
    "dense residential area": "f area residenziale densa",
    "desert": "m deserto",
    "dome": "f cupola",
    "dune": "f duna",
    "empty parking space": "m posto auto vuoto/posti auto vuoti",
    "factory": "f fabbrica",
    "farmland": "m terreno agricolo",
    "football field": "m campo da calcio",
    "forest": "f foresta",
    "fountain": "f fontana",
    "garden": "m giardino",
    "glade": "f radura",
    "ground": "m suolo",
    "ground track field": "m campo di atletica",
    "harbor": "m porto",
    "house": "f casa/case",
    "industrial area": "f area industriale",
    "infield": "m campo interno",
    "lake": "m lago",
    "land": "m terreno",
    "lawn": "m prato",
    "long building": "m edificio lungo",
    "long roof": "m tetto lungo",
    "long shadow": "f ombra lunga",
    "loop": "m anello",
    "meadow": "f prateria",
    "medium residential area": "f area residenziale media",
    "mountain": "f montagna",
    "ocean": "m oceano",
    "overpass": "m cavalcavia/cavalcavia",
    "park": "m parco",
    "parking lot": "m parcheggio",
    "path": "m sentiero",
    "pavilion": "m padiglione",
    "plane": "m aereo/aerei",
    "plant": "f pianta",
    "playground": "m campo da gioco",
    "pond": "m stagno",
    "port": "m porto",
    "railway station": "f stazione ferroviaria",
    "railway track": "m binario",
    "resort": "m villaggio turistico/villaggi turistici",
    "ridge": "f cresta",
    "ripple": "f increspatura",
    "river": "m fiume",
    "road": "f strada",
    "row of waves": "f fila di onde",
    "runway": "f pista",
    "school": "f scuola",
    "sea": "m mare",
    "ship": "f nave",
    "snow": "f neve",
    "sparse residential area": "f area residenziale sparsa",
    "sports ground": "m campo sportivo",
    "square": "f piazza",
    "stadium": "m stadio",
    "storage tank": "m serbatoio di stoccaggio",
    "swimming pool": "f piscina",
    "tall building": "m edificio alto",
    "terminal building": "m terminal",
    "tower": "f torre",
    "trail": "m sentiero",
    "train": "m treno",
    "train station": "f stazione dei treni",
    "tree": "m albero",
    "umbrella": "m ombrellone",
    "viaduct": "m viadotto",
    "wave": "f onda",
    "wide forecourt": "m piazzale ampio",
}

MEASURE = "m pezzo di/pezzi di"

ADJECTIVES = {
    "white": "bianco/bianca",
    "gray": "grigio/grigia/grigi/grigie",
    "blue": "=blu",
    "green": "verde",
    "red": "rosso/rossa",
    "brown": "marrone",
    "yellow": "giallo/gialla",
    "orange": "arancione",
    "curved": "sinuoso/sinuosa",
    "rectangular": "rettangolare",
    "irregular": "irregolare",
    "round": "rotondo/rotonda",
    "oval": "ovale",
    "hexagonal": "esagonale",
    "ring-shaped": "=ad anello",
}

NUMBERS = {
    "two": "due",
    "three": "tre",
    "four": "quattro",
    "five": "cinque",
    "six": "sei",
    "seven": "sette",
    "eight": "otto",
    "nine": "nove",
}

QUANTITIES = {
    "several": "[diversi/diverse/diversi/diverse]",
    "some": "[alcuni/alcune/alcuni/alcune]",
    "many": "[molto/molta]",
    "a lot of": "[tanto/tanta]",
    "lots of": "[tanto/tanta]",
    "a large number of": "un gran numero di",
}

VERBS = {
    "is/are": "si trova/si trovano",
    "is/are (state)": "è/sono",
    "is/are (quality)": "è/sono",
    "connects/connect": "collega/collegano",
    "crosses/cross": "si incrocia/si incrociano",
    "flows/flow": "scorre/scorrono",
    "forms/form": "forma/formano",
    "grows/grow": "cresce/crescono",
    "here is/here are": "qui c'è/qui ci sono",
    "is beating/are beating": "si infrange/si infrangono",
    "is winding/are winding": "serpeggia/serpeggiano",
    "leads/lead": "conduce/conducono",
    "lies/lie": "giace/giacciono",
    "stands/stand": "sorge/sorgono",
    "there is/there are": "c'è/ci sono",
    "throws/throw": "proietta/proiettano",
    "winds/wind": "serpeggia/serpeggiano",
}

PHRASES = {
    "it is": "è",
    "this is": "[questo/questa] è",
    "these are": "[questi/queste/questi/queste] sono",
    "close together": "[vicino/vicina/vicini/vicine] tra loro",
    "orderly together": "[disposto/disposta] in ordine",
    "parked": "[parcheggiato/parcheggiata]",
    "planted": "[piantato/piantata]",
    "surrounded by": "[circondato/circondata] da",
    "together": "insieme",
    "dry and bare": "[secco/secca] e [nudo/nuda]",
    "steep and high": "[ripido/ripida] e [alto/alta]",
    "wide and flat": "[ampio/ampia] e [piatto/piatta]",
    "along": "lungo",
    "among": "in mezzo a",
    "around": "intorno a",
    "at the quay of": "sulla banchina di",
    "beside": "accanto a",
    "between": "tra",
    "in": "in",
    "in the middle of": "al centro di",
    "in two sides of": "sui due lati di",
    "near": "vicino a",
    "next to": "accanto a",
    "on": "su",
    "on both sides of": "su entrambi i lati di",
    "over": "sopra",
    "through": "attraverso",
    "around .": "intorno",
    "here": "qui",
    "in it": "al suo interno",
    "in orderly rows": "in file ordinate",
    "in rows": "in file",
    "orderly in rows": "in file ordinate",
    "over it": "che lo attraversa",
    "grass covers": "l'erba copre",
    "many sands form": "molta sabbia forma",
    "the two sides of": "le due sponde di",
    "there is nothing but sand in": "non c'è altro che sabbia in",
    "we can see": "possiamo vedere",
    "white snow covers part of": "la neve bianca copre parte di",
    "wind has drawn": "il vento ha disegnato",
    "and": "e",
    "of": "di",
    "with": "con",
}

ENGLISH = {
    "aereo": "airplane",
    "terreno spoglio": "bare land/bare land",
    "campo da calcio": "soccer field",
    "campo di atletica": "athletics field",
    "posto auto vuoto": "empty car space",
    "sentiero": "path",
    "strada": "street",
    "terminal": "terminal",
    "pezzo di/pezzi di": "piece of/pieces of",
    "[tanto/tanta]": "plenty of",
    "un gran numero di": "a large number of",
    "si trova/si trovano": "is located/are located",
    "vicino a": "close to",
    "accanto a": "next to",
    "sui due lati di": "on the two sides of",
    "sulla banchina di": "on the quay of",
    "al centro di": "at the center of",
    "in mezzo a": "amid",
    "in file ordinate": "in orderly lines",
    "in file": "in lines",
    "al suo interno": "inside it",
    "[vicino/vicina/vicini/vicine] tra loro": "close to each other",
    "[disposto/disposta] in ordine": "arranged in order",
    "che lo attraversa": "crossing it",
    "l'erba copre": "the grass covers",
    "molta sabbia forma": "a lot of sand forms",
    "le due sponde di": "the two banks of",
    "il vento ha disegnato": "the wind has drawn",
    "serpeggia/serpeggiano": "meanders/meander",
    "si infrange/si infrangono": "crashes/crash",
    "sorge/sorgono": "rises/rise",
    "proietta/proiettano": "casts/cast",
    "[ampio/ampia] e [piatto/piatta]": "broad and flat",
}

_SPECIAL = r"(?=z|s[bcdfglmnpqrtv]|gn|ps)"  # where "lo", "uno" and "gli" stand
_CONTRACTIONS = {"di": "de", "a": "a", "da": "da", "in": "ne", "su": "su"}


def plural(word: str) -> str:
    """Regular plural of one word."""
    endings = {
        **{"ggia": "gge", "ca": "che", "ga": "ghe", "go": "ghi", "co": "chi", "io": "i"},
        **{"a": "e", "o": "i", "e": "i"},
    }
    for ending, replacement in endings.items():
        if word.endswith(ending):
            return word[: -len(ending)] + replacement
    return word


def contract(text: str) -> str:
    """Chooses among the articles by the sound that follows, and joins prepositions with them."""
    text = re.sub(rf"\b(il|un) {_SPECIAL}", lambda match: {"il": "lo ", "un": "uno "}[match[1]], text)
    text = re.sub(rf"\bi (?=[aeiou]|{_SPECIAL})", "gli ", text)
    text = re.sub(r"\b(?:il|la) (?=[aeiou])", "l'", text)
    text = re.sub(r"\buna (?=[aeiou])", "un'", text)
    text = re.sub(r"\ba (?=a[a-z])", "ad ", text)
    return re.sub(r"\b(di|a|da|in|su) (il\b|lo\b|la\b|i\b|gli\b|le\b|l')", _joined, text)


def _joined(match: re.Match) -> str:
    """One preposition with its article: "di" and "il" make "del", "su" and "gli" make "sugli"."""
    stem, article = _CONTRACTIONS[match[1]], match[2]
    return stem + {"il": "l", "i": "i", "gli": "gli"}.get(article, f"l{article}")


LANGUAGE = Language(
    code="it",
    name="Italian",
    nouns=NOUNS,
    measure=MEASURE,
    adjectives=ADJECTIVES,
    numbers=NUMBERS,
    quantities=QUANTITIES,
    verbs=VERBS,
    phrases=PHRASES,
    definite="il/la/i/le",
    indefinite="un/una/dei/delle",
    bare="",
    english=ENGLISH,
    capitalized=True,
    color_first=True,
    plural=plural,
    contract=contract,
)
