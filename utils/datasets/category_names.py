"""How people write the category names that remote-sensing data sets run together."""

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
