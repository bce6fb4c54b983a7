"""The three demos as a page in the browser."""
