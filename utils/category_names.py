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

_BREAK = re.compile(r"(?<=[a-z])(?=[A-Z])|_+")


def category_words(name: str) -> str:
    """How people would write a category: 'storage tanks', 'Annual Crop', 'golf course'.

    Args:
        name: As a data set has it: 'storagetanks' (RSICD), 'AnnualCrop' (EuroSAT, AID), 'golf_course' (RESISC45).
    """
    return SPLIT_NAMES.get(name) or _BREAK.sub(" ", name).strip() or name
