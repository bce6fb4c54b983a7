"""How people write the category names that remote-sensing data sets run together."""

import re

SPLIT_NAMES = {
    "bareland": "bare land",
    "baseballdiamond": "baseball diamond",
    "baseballfield": "baseball field",
    "denseresidential": "dense residential",
    "golfcourse": "golf course",
    "mediumresidential": "medium residential",
    "mobilehomepark": "mobile home park",
    "parkinglot": "parking lot",
    "railwaystation": "railway station",
    "sparseresidential": "sparse residential",
    "storagetanks": "storage tanks",
    "tenniscourt": "tennis court",
}
"""Names of RSICD (7) and UC Merced (9, four of them shared) that are several words; the others are one word, and so
are all seven of Sydney: residential, airport, meadow, river, ocean, industrial, runway."""

_CAMEL = re.compile(r"(?<=[a-z])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")


def category_words(name: str) -> str:
    """How people would write a category: 'storage tanks', 'annual crop', 'golf course'.

    Args:
        name: As a data set has it: 'storagetanks' (RSICD), 'AnnualCrop' (EuroSAT, AID), 'golf_course' (RESISC45).
    """
    words = [word for part in name.split("_") for word in _CAMEL.split(part) if word]
    if "_" not in name and len(words) > 1:  # of CamelCase; RGB stays as it is
        words = [word if word.isupper() else word.lower() for word in words]
    return SPLIT_NAMES.get(name.lower()) or " ".join(words).strip() or name
