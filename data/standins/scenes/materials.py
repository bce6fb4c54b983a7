"""What the ground of the miniature is made of: color ramps, woven with layers of noise.

The colors were chosen by eye after satellite images of the same things. A name that ends in a season stands
for the plain name in that season.
"""

from dataclasses import dataclass

Color = tuple[int, int, int]


@dataclass(frozen=True)
class Material:
    """A texture to be woven.

    Attributes:
        ramp: Colors from dark to light.
        layers: (kind of noise, weight) pairs; the weighted sum picks the color on the ramp.
    """

    ramp: tuple[Color, ...]
    layers: tuple[tuple[str, float], ...]


_LAWN = (("patches", 0.7), ("grain", 0.5))
_ROUGH = (("clouds", 1.0), ("patches", 0.5), ("grain", 0.5))
_SMOOTH = (("patches", 0.4), ("grain", 0.35))
_WAVY = (("clouds", 0.5), ("swell", 0.55), ("grain", 0.15))

MATERIALS = {
    "grass summer": Material(((48, 70, 36), (78, 104, 54), (112, 132, 76)), _LAWN),
    "grass spring": Material(((58, 88, 40), (92, 126, 58), (126, 156, 82)), _LAWN),
    "grass autumn": Material(((76, 80, 42), (112, 112, 62), (142, 136, 84)), _LAWN),
    "grass dry": Material(((96, 92, 58), (132, 124, 82), (162, 150, 108)), _LAWN),
    "lawn": Material(((58, 104, 48), (82, 132, 62), (108, 156, 82)), _LAWN),
    "turf": Material(((52, 110, 52), (66, 128, 62), (88, 148, 80)), _SMOOTH),
    "meadow summer": Material(
        ((44, 84, 44), (66, 112, 60), (96, 138, 76)), (("clouds", 0.6), ("streaks", 0.5), ("grain", 0.5))
    ),
    "meadow spring": Material(
        ((52, 98, 46), (80, 130, 62), (116, 160, 84)), (("clouds", 0.6), ("streaks", 0.5), ("grain", 0.5))
    ),
    "meadow autumn": Material(
        ((66, 88, 46), (98, 116, 62), (130, 142, 84)), (("clouds", 0.6), ("streaks", 0.5), ("grain", 0.5))
    ),
    "meadow dry": Material(
        ((80, 96, 52), (112, 126, 70), (144, 150, 92)), (("clouds", 0.6), ("streaks", 0.5), ("grain", 0.5))
    ),
    "canopy summer": Material(((22, 44, 24), (38, 66, 34), (64, 92, 50)), (("clouds", 0.9), ("patches", 0.5))),
    "canopy spring": Material(((28, 54, 26), (48, 82, 38), (80, 116, 58)), (("clouds", 0.9), ("patches", 0.5))),
    "canopy autumn": Material(((40, 54, 28), (72, 78, 38), (120, 96, 50)), (("clouds", 0.9), ("patches", 0.5))),
    "canopy dry": Material(((36, 52, 34), (58, 74, 46), (86, 98, 62)), (("clouds", 0.9), ("patches", 0.5))),
    "soil brown": Material(((98, 76, 58), (136, 110, 86), (172, 146, 118)), _ROUGH),
    "soil red": Material(((112, 66, 50), (152, 96, 72), (188, 132, 104)), _ROUGH),
    "soil gray": Material(((104, 98, 90), (142, 136, 124), (176, 168, 152)), _ROUGH),
    "soil yellow": Material(((142, 118, 84), (178, 152, 112), (206, 184, 146)), _ROUGH),
    "dirt": Material(((122, 102, 80), (150, 128, 102), (180, 158, 130)), _SMOOTH),
    "clay": Material(((168, 104, 66), (190, 124, 82), (206, 146, 102)), _SMOOTH),
    "sand yellow": Material(((194, 160, 108), (216, 184, 132), (234, 208, 162)), (("clouds", 0.8), ("grain", 0.3))),
    "sand orange": Material(((196, 136, 84), (220, 162, 106), (236, 190, 140)), (("clouds", 0.8), ("grain", 0.3))),
    "sand white": Material(((204, 192, 168), (222, 212, 190), (240, 232, 214)), (("clouds", 0.8), ("grain", 0.3))),
    "sand brown": Material(((166, 142, 104), (190, 166, 126), (210, 190, 152)), (("clouds", 0.8), ("grain", 0.3))),
    "wet sand": Material(((138, 120, 92), (158, 138, 108), (176, 156, 126)), _SMOOTH),
    "asphalt": Material(((84, 84, 86), (100, 100, 101), (118, 117, 116)), _SMOOTH),
    "old asphalt": Material(((112, 110, 108), (130, 128, 125), (150, 147, 142)), (("patches", 0.8), ("grain", 0.4))),
    "concrete": Material(((164, 161, 154), (184, 180, 172), (202, 198, 190)), (("patches", 0.7), ("grain", 0.4))),
    "paving": Material(((168, 156, 140), (190, 178, 160), (208, 198, 182)), _SMOOTH),
    "gravel": Material(((110, 100, 90), (134, 122, 110), (158, 146, 132)), (("patches", 0.6), ("grain", 0.8))),
    "town": Material(((112, 106, 98), (138, 131, 120), (164, 155, 142)), (("patches", 1.0), ("grain", 0.5))),
    "snow": Material(((206, 214, 226), (232, 237, 243), (250, 251, 253)), (("clouds", 0.7), ("grain", 0.2))),
    "sea blue": Material(((16, 52, 82), (28, 78, 108), (52, 108, 134)), _WAVY),
    "sea green": Material(((24, 82, 86), (40, 112, 110), (78, 148, 138)), _WAVY),
    "sea turquoise": Material(((42, 124, 138), (66, 158, 166), (118, 198, 194)), _WAVY),
    "sea dark": Material(((22, 44, 56), (36, 62, 72), (60, 86, 92)), _WAVY),
    "water green": Material(((40, 58, 44), (56, 78, 58), (78, 100, 74)), _WAVY),
    "water brown": Material(((124, 100, 68), (150, 124, 86), (174, 148, 108)), _WAVY),
    "water blue": Material(((30, 62, 78), (46, 86, 102), (74, 114, 126)), _WAVY),
    "water dark": Material(((18, 26, 28), (28, 38, 40), (46, 58, 58)), _WAVY),
    "water turquoise": Material(((58, 128, 122), (82, 154, 144), (116, 180, 166)), _WAVY),
}
"""The textures by name."""

TREE_COLORS = {
    "summer": ((40, 64, 34), (48, 74, 38), (58, 84, 44), (36, 58, 36)),
    "spring": ((52, 86, 38), (64, 100, 46), (76, 112, 52), (46, 76, 38)),
    "autumn": ((82, 84, 40), (120, 94, 44), (140, 98, 48), (64, 74, 38)),
    "dry": ((62, 74, 44), (74, 84, 52), (84, 90, 58), (56, 66, 42)),
}
"""Crown colors by season."""

ROOF_COLORS: dict[str, tuple[Color, ...]] = {
    "red": ((158, 72, 54), (172, 84, 60), (146, 64, 52)),
    "orange": ((196, 120, 82), (184, 108, 72), (206, 136, 96)),
    "brown": ((122, 94, 74), (138, 106, 84), (110, 86, 70)),
    "gray": ((126, 126, 128), (144, 143, 142), (112, 113, 118)),
    "white": ((226, 226, 222), (214, 214, 212), (236, 234, 228)),
    "blue": ((62, 108, 172), (76, 124, 186), (54, 96, 156)),
}
"""Roof colors by the word a caption uses for them."""
