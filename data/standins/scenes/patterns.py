"""The sentence patterns of the miniature's captions; `standins.scenes.english` has the words.

A pattern holds slots. `{main}` is the scene's main thing, `{first}` and `{second}` two things around it, `{colored}`
any thing with a color worth telling; `{plane}`, `{swimming_pool}` and so on ask for a thing by its name. A slot may
name a form: `{x}` is an indefinite phrase ("two white planes"), `{x.the}` a definite one ("the planes"), `{x.noun}`
the noun alone, `{x.color}` its color, and `{x.is}`, or another key of `english.VERBS`, the verb that agrees with it. A
pattern is used only when the scene has all that it asks for.
"""

LAYOUT_PATTERNS: dict[str, tuple[str, ...]] = {
    "around": (
        "{first} {first.is} around {main}",
        "{first} and {second} are around {main}",
        "{main} {main.is} surrounded by {first}",
        "{main} {main.is} surrounded by {first} and {second}",
        "{first} {first.stands} around {main.the}",
        "we can see {main} with {first} and {second} around",
    ),
    "near": (
        "{first} {first.is} near {main}",
        "{first} and {second} are near {main}",
        "{main} {main.is} near {first}",
        "{main} {main.is} next to {first}",
        "{main} {main.is} near {first} and {second}",
        "beside {main.the} there {first.is} {first}",
    ),
    "two sides": (
        "{first} {first.is} in two sides of {main}",
        "{first} and {second} are in two sides of {main}",
        "{first} {first.stands} on both sides of {main.the}",
    ),
}
"""Patterns for how the things around stand to the main thing, the usual ones first."""

PLAIN_PATTERNS = ("{main.it} {main}", "{main.this} {main}", "there {main.is} {main} here", "we can see {main}")
"""Patterns that name the main thing alone."""

ASIDE_PATTERNS = (
    "{tree} {tree.is} planted here",
    "{building} {building.is} near {tree}",
    "{building} and {tree} are near {road}",
    "{road} {road.is} beside {building}",
    "{tree} {tree.stands} beside {road}",
    "here {building.is} {building} and {tree}",
)
"""Patterns that leave the category untold, as annotators do when they look at a corner of the image."""

COLOR_PATTERNS = ("{colored.the} {colored.is} {colored.color}", "the color of {colored.the} is {colored.color}")
"""Patterns that tell a color and seldom the category."""

CATEGORY_PATTERNS: dict[str, tuple[str, ...]] = {
    "airport": (
        "{plane} {plane.is} parked next to {terminal} in an airport",
        "{plane} {plane.is} parked in an airport",
        "{plane} {plane.is} parked in an airport near {parking_lot}",
        "{plane} {plane.is} near {terminal} with {parking_lot}",
        "{plane} {plane.is} beside {runway} in {main}",
        "{main} with {runway} and {plane}",
        "{terminal} with {plane} in {main}",
    ),
    "bareland": (
        "{main.it} {main}",
        "{tree} {tree.is} on {main}",
        "{main} with {trail} in it",
        "{trail} {trail.is} winding through {main.the}",
        "{main} with {tree} and {trail}",
        "the ground of {main.the} is dry and bare",
    ),
    "baseballfield": (
        "{main} {main.is} near {tree}",
        "{main} {main.is} surrounded by {tree}",
        "{main} {main.is} between {road} and {tree}",
        "{building} and {tree} are near {main}",
        "{main} with a brown infield {main.is} near {tree}",
        "{main} {main.is} near {parking_lot}",
    ),
    "beach": (
        "{wave} {wave.is} between {main} and {ocean}",
        "{main} {main.is} near {ocean}",
        "{tree} {tree.is} near {main}",
        "{main} {main.is} between {ocean} and {tree}",
        "{building} {building.is} beside {main}",
        "{umbrella} {umbrella.stands} on {main.the}",
        "white waves are beating on {main.the}",
        "{ocean} with {wave} {ocean.is} near {main}",
    ),
    "bridge": (
        "{main} {main.is} over {river}",
        "{building} {building.is} in two sides of {river} with {main} over it",
        "{tree} {tree.is} in two sides of {river} with {main} over it",
        "{main} {main.is} on {river} with {boat}",
        "{river} with {main} over it",
        "{main} {main.connects} the two sides of {river.the}",
        "{boat} {boat.is} on {river.the} near {main}",
    ),
    "center": (
        "{tree} {tree.is} around {main}",
        "{main} {main.is} near {parking_lot}",
        "{main} {main.is} near {road}",
        "{main} {main.stands} in the middle of a wide forecourt",
    ),
    "church": (
        "{building} {building.is} near {main}",
        "{building} {building.is} around {main}",
        "{tree} {tree.is} near {main}",
        "{main} with {dome} {main.is} near {building}",
        "{main} {main.is} near {road}",
        "{main} with {tower} {main.is} near {tree}",
        "{main} with {tower} and {dome}",
    ),
    "commercial": (
        "{tall_building} {tall_building.is} in {main}",
        "{tall_building} and {tree} are in {main}",
        "{tall_building} {tall_building.stands} on both sides of {road.the}",
        "{car} {car.is} on the roads of {main}",
        "{road} {road.is} between {tall_building}",
        "{tall_building} with long shadows {tall_building.is} in {main}",
    ),
    "denseresidential": (
        "{building} {building.is} in {main}",
        "{building} and {tree} are in {main}",
        "{building} {building.stands} close together in {main}",
        "{building} {building.is} in rows along {road} in {main}",
        "{main} with {building} and {road}",
    ),
    "desert": (
        "{main.it} {main}",
        "many sands form {main}",
        "{ripple} {ripple.is} in {main}",
        "{dune} {dune.is} in {main}",
        "wind has drawn {ripple} in {main.the}",
        "{main} with {dune}",
        "{plant} {plant.is} in {main}",
        "there is nothing but sand in {main}",
    ),
    "farmland": (
        "{main.it} {main}",
        "{main} {main.is} orderly together",
        "{main} {main.is} near {road}",
        "{building} {building.is} near {main}",
        "{main} with {tree}",
        "crops grow in rows on {main}",
    ),
    "forest": (
        "many trees form {main}",
        "{main.it} {main}",
        "many trees are in {main}",
        "{path} {path.is} winding through {main}",
        "{glade} {glade.is} in the middle of {main}",
        "the trees of {main} stand close together",
    ),
    "industrial": (
        "{building} {building.is} in {main}",
        "{building} and {tree} are in {main}",
        "{building} {building.is} near {road} in {main}",
        "{building} with long roofs {building.stands} in {main}",
        "{building} and {parking_lot} are in {main}",
    ),
    "meadow": (
        "{main.it} {main}",
        "{tree} {tree.is} near {main}",
        "{path} {path.is} in {main}",
        "{main} {main.is} wide and flat",
        "grass covers {main}",
    ),
    "mediumresidential": (
        "{building} and {tree} are in {main}",
        "{building} {building.is} in two sides of {road} in {main}",
        "{building} with {swimming_pool} {building.is} in {main}",
        "{building} with gardens {building.is} in {main}",
        "{main} with {building} along {road}",
    ),
    "mountain": (
        "{main.it} {main}",
        "white {snow.noun} covers part of {main}",
        "{main} {main.is} together",
        "{main.the} {main.is} steep and high",
        "deep valleys are between {main}",
        "the ridges of {main} throw long shadows",
    ),
    "park": (
        "{tree} and {pond} are in {main}",
        "{pond} {pond.is} in {main} with {tree}",
        "{building} {building.is} around {main}",
        "{main} with {pond} {main.is} surrounded by {building}",
        "{tree} and {pavilion} are in {main}",
        "curved paths lead through {main} with {tree}",
    ),
    "parking": (
        "{car} {car.is} in {main}",
        "{car} {car.is} parked in {main}",
        "{car} {car.is} in {main} near {building}",
        "{car} {car.is} in {main} with {tree}",
        "{car} {car.is} parked in orderly rows in {main}",
        "{car} {car.is} in {main} with {empty_space}",
        "{main} with {car} {main.is} near {road}",
    ),
    "playfields": (
        "{football_field} and {basketball_court} are near {tree}",
        "{basketball_court} {basketball_court.is} near {tree}",
        "{football_field} {football_field.is} in {main}",
    ),
    "playground": (
        "{main} with {football_field} in it {main.is} near {tree}",
        "{football_field} {football_field.is} in {main}",
        "{tree} {tree.is} around {main}",
        "{main} {main.is} next to {basketball_court}",
        "{building} and {tree} are near {main}",
    ),
    "pond": (
        "{tree} {tree.is} around {main}",
        "{main} {main.is} near {road}",
        "{building} and {tree} are near {main}",
        "{main} {main.lies} among {tree}",
    ),
    "port": (
        "{boat} {boat.is} in {main}",
        "{ship} {ship.is} in {main}",
        "{boat} {boat.is} in {main} near {building}",
        "{ship} {ship.is} in {main} near {building}",
        "{boat} {boat.is} orderly in rows in {main}",
        "{ship} {ship.lies} at the quay of {main}",
        "{building} {building.is} near {main} with {boat}",
    ),
    "railwaystation": (
        "{building} {building.is} in two sides of {main}",
        "{building} and {tree} are in two sides of {main}",
        "{platform_roof} {platform_roof.is} in {main}",
        "{train} {train.is} in {main}",
        "{main} with {track} and {platform_roof}",
        "{track} {track.is} in {main}",
    ),
    "resort": (
        "{building} and {swimming_pool} are in {main}",
        "{building} with {swimming_pool} {building.is} in {main} near {beach}",
        "{tree} and {building} are in {main}",
        "{main} with {swimming_pool} {main.is} near {beach}",
        "{swimming_pool} {swimming_pool.is} surrounded by {building} in {main}",
    ),
    "river": (
        "{tree} {tree.is} in two sides of {main}",
        "{main} flows between {tree}",
        "{boat} {boat.is} on {main}",
        "{main} winds through the land",
    ),
    "school": (
        "{building} and {playground} are in {main}",
        "{building} with {playground} and {tree} {building.is} in {main}",
        "{building} and {basketball_court} are in {main}",
        "{playground} {playground.is} near {building} in {main}",
        "{tree} and {building} are in {main}",
    ),
    "sparseresidential": (
        "{building} {building.is} surrounded by {tree} in {main}",
        "{building} and {tree} are in {main}",
        "{building} with {swimming_pool} {building.is} in {main}",
        "{building} {building.is} near {road} in {main}",
        "{building} {building.is} surrounded by {tree}",
    ),
    "square": (
        "{building} {building.is} around {main}",
        "{main} with {fountain} {main.is} surrounded by {building}",
        "{lawn} {lawn.is} in {main}",
        "{fountain} {fountain.is} in the middle of {main}",
        "{main} with {lawn} {main.is} near {building}",
    ),
    "stadium": (
        "{main} {main.is} near {parking_lot}",
        "{main} {main.is} surrounded by {tree}",
        "{main} {main.is} surrounded by {tree} and {parking_lot}",
        "{building} {building.is} near {main}",
        "{main} with a football field in it {main.is} near {tree}",
    ),
    "storagetanks": (
        "{main} {main.is} near {road}",
        "{main} {main.is} near {tree}",
        "{main} {main.stands} in a factory",
        "{main} {main.is} on the ground near {building}",
        "{main} {main.stands} in rows",
    ),
    "viaduct": (
        "{tree} {tree.is} near {main}",
        "{main} with {loop}",
        "{car} {car.is} on {main}",
        "{building} and {tree} are near {main}",
        "{main} with {loop} {main.is} near {tree}",
        "two roads cross in {main}",
    ),
}
"""Patterns that only one category uses, the usual ones first."""
