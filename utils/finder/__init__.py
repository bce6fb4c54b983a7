"""Where in a picture a feature is, and whether it is there at all."""
