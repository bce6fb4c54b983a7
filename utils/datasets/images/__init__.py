"""The one reader of images of any kind, and what it stands on."""
