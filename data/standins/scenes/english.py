"""The words of the miniature's captions, in English; `standins.scenes.patterns` has the sentences."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Noun:
    """A noun: singular, plural, and the measure words that some take ("piece of", "pieces of")."""

    one: str
    many: str
    measure: tuple[str, str] | None = None


_PIECE = ("piece of", "pieces of")

NOUNS: dict[str, tuple[Noun, ...]] = {
    "airport": (Noun("airport", "airports"),),
    "baseball field": (Noun("baseball field", "baseball fields"), Noun("baseball diamond", "baseball diamonds")),
    "bare land": (Noun("bare land", "bare land", _PIECE), Noun("bareland", "bareland", _PIECE)),
    "basketball court": (Noun("basketball court", "basketball courts"), Noun("basketball field", "basketball fields")),
    "beach": (Noun("beach", "beaches"), Noun("beach", "beach", _PIECE)),
    "boat": (Noun("boat", "boats"),),
    "bridge": (Noun("bridge", "bridges"),),
    "building": (Noun("building", "buildings"), Noun("house", "houses")),
    "car": (Noun("car", "cars"),),
    "center": (Noun("center building", "center buildings"), Noun("center", "centers")),
    "church": (Noun("church", "churches"),),
    "commercial area": (
        Noun("commercial area", "commercial areas"),
        Noun("commercial district", "commercial districts"),
    ),
    "dense residential area": (Noun("dense residential area", "dense residential areas"),),
    "desert": (Noun("desert", "desert", _PIECE),),
    "dome": (Noun("dome", "domes"),),
    "dune": (Noun("dune", "dunes"),),
    "empty space": (Noun("empty parking space", "empty parking spaces"),),
    "farmland": (Noun("farmland", "farmlands", _PIECE),),
    "football field": (Noun("football field", "football fields"),),
    "forest": (Noun("forest", "forest", _PIECE), Noun("forest", "forests")),
    "fountain": (Noun("fountain", "fountains"),),
    "glade": (Noun("glade", "glades"),),
    "industrial area": (Noun("industrial area", "industrial areas"), Noun("factory", "factories")),
    "lawn": (Noun("lawn", "lawns"),),
    "loop": (Noun("loop", "loops"),),
    "meadow": (Noun("meadow", "meadows", _PIECE),),
    "medium residential area": (Noun("medium residential area", "medium residential areas"),),
    "mountain": (Noun("mountain", "mountains"), Noun("mountain", "mountains", _PIECE)),
    "ocean": (Noun("ocean", "oceans", _PIECE), Noun("sea", "seas")),
    "park": (Noun("park", "parks"),),
    "parking lot": (Noun("parking lot", "parking lots"),),
    "path": (Noun("path", "paths"), Noun("trail", "trails")),
    "pavilion": (Noun("pavilion", "pavilions"),),
    "plane": (Noun("plane", "planes"), Noun("airplane", "airplanes")),
    "plant": (Noun("plant", "plants"),),
    "platform roof": (Noun("long roof", "long roofs"),),
    "playground": (Noun("playground", "playgrounds"), Noun("ground track field", "ground track fields")),
    "pond": (Noun("pond", "ponds"), Noun("lake", "lakes")),
    "port": (Noun("port", "ports"), Noun("harbor", "harbors")),
    "railway station": (Noun("railway station", "railway stations"), Noun("train station", "train stations")),
    "resort": (Noun("resort", "resorts"),),
    "ripple": (Noun("ripple", "ripples"),),
    "river": (Noun("river", "rivers"),),
    "road": (Noun("road", "roads"),),
    "runway": (Noun("runway", "runways"),),
    "school": (Noun("school", "schools"), Noun("campus", "campuses")),
    "ship": (Noun("ship", "ships"),),
    "snow": (Noun("snow", "snow", _PIECE),),
    "sparse residential area": (Noun("sparse residential area", "sparse residential areas"),),
    "sports ground": (Noun("sports ground", "sports grounds"),),
    "square": (Noun("square", "squares"),),
    "stadium": (Noun("stadium", "stadiums"),),
    "storage tank": (Noun("storage tank", "storage tanks"),),
    "swimming pool": (Noun("swimming pool", "swimming pools"),),
    "tower": (Noun("tower", "towers"), Noun("bell tower", "bell towers")),
    "tall building": (Noun("tall building", "tall buildings"),),
    "terminal": (Noun("long building", "long buildings"), Noun("terminal building", "terminal buildings")),
    "track": (Noun("railway track", "railway tracks"),),
    "trail": (Noun("trail", "trails"),),
    "train": (Noun("train", "trains"),),
    "tree": (Noun("tree", "trees"),),
    "umbrella": (Noun("umbrella", "umbrellas"),),
    "viaduct": (Noun("viaduct", "viaducts"), Noun("overpass", "overpasses")),
    "wave": (Noun("row of waves", "rows of waves"), Noun("wave", "waves")),
}
"""What each thing is called, the usual word first."""

NUMBERS = {1: "a", 2: "two", 3: "three", 4: "four", 5: "five", 6: "six", 7: "seven", 8: "eight", 9: "nine"}
"""Exact counts."""

QUANTITIES: tuple[tuple[int, int, str], ...] = (
    (3, 9, "several"),
    (5, 20, "some"),
    (10, 10**9, "many"),
    (12, 10**9, "a lot of"),
    (12, 10**9, "lots of"),
    (20, 10**9, "a large number of"),
)
"""Inexact counts: (fewest, most, words)."""

VERBS = {
    "is": ("is", "are"),
    "stands": ("stands", "stand"),
    "lies": ("lies", "lie"),
    "connects": ("connects", "connect"),
    "it": ("it is", "these are"),
    "this": ("this is", "these are"),
}
"""Verbs, singular and plural."""
