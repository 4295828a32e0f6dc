"""The drills: questions as an interviewer asks them, from one source, with three faces.

`bank/` holds what is written, `numbers`, `shapes` and `faults` draw the rest; `memory` knows what somebody knows;
`terminal`, `room` (in a notebook) and `anki` ask. To add a question: CONTRIBUTING.md.
"""
