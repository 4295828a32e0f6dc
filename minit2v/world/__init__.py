"""The procedural world: every clip is drawn from a scene whose truth is known.

Reading order: `captions` (what can be said), `scenes` (what it means, frame by frame),
`render` (what it looks like), `oracle` (what can be read back from the frames alone).
"""
