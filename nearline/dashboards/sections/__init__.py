"""The page's sections: what was read, turned into tiles, figures and sentences.

Belongs here: which figure is shown, its words, and what stands in its place when the
data cannot fill it. Not here: reading (`queries`), drawing (`charts`), HTML (`page`).
"""
