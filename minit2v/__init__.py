"""A whole text-to-video system in miniature.

>>> from minit2v import TextToVideo
>>> clip = TextToVideo.from_pretrained("sora").generate("a large red ball moves right", seed=0)
>>> clip.save("ball.mp4")
"""

__version__ = "0.1.0"
__all__ = ["Clip", "TextToVideo", "__version__"]


def __getattr__(name):
    # torch takes seconds to import, so `import minit2v` waits with it until a model is asked for.
    if name in ("Clip", "TextToVideo"):
        from minit2v import pipeline

        return getattr(pipeline, name)
    raise AttributeError(f"module 'minit2v' has no attribute {name!r}")


def __dir__():
    return sorted({*globals(), *__all__})
