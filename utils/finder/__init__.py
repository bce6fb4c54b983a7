"""Where in a scene is a feature, and is it there at all?

    scene = embed_scene(model, "harbor.tif")                  # tiles at several scales, embedded once
    presence_model = PresenceModel.load("presence.json")      # from calibrate_presence(model, validation_set)
    finding = find(model, scene, "stadium", presence_model)   # any number of texts
    finding.tiles[0].box, finding.presence, finding.overlay()

`tiles` cuts, `reading` opens images of any size, `scene` embeds, `finding` ranks; `presence` says yes or no, and
`calibration` teaches it that on mosaics; `aerial` refuses what is no image from above; `drawing` shows what was found,
and `place` where it lies on the Earth.
"""

from utils.category_names import category_words as feature_name
from utils.finder.aerial import AerialCheck, learn_aerial
from utils.finder.calibration import (
    PresenceQuestions,
    PresenceReport,
    ask_scenes,
    calibrate_presence,
    draw_mosaics,
    evaluate_presence,
    fit_presence,
    make_mosaic,
)
from utils.finder.finding import PROMPT, FeatureQuery, Finding, Tile, embed_feature, find
from utils.finder.presence import PresenceModel, presence_in_words
from utils.finder.scene import SceneEmbeddings, embed_scene
from utils.finder.tiles import default_tile_sizes, tile_boxes
