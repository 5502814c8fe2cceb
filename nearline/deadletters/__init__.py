"""Records that the door refused: looked at, mended and sent again.

Belongs here: finding them, mending them, remembering which were sent again. Not here:
why a record is refused (`nearline.events`), and how it is kept (`nearline.landing`).
"""
