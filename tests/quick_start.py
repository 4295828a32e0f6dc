"""A pytest plug-in (see `addopts` in pyproject.toml) that saves four seconds at every start.

nbval imports nbformat, that imports jsonschema's format checkers, and one of them builds the grammar of
internationalized addresses at import. No notebook needs it. With None in sys.modules the import fails at
once, and jsonschema does without that one checker. Plug-ins named by -p load before nbval does.
"""

import sys

sys.modules.setdefault("rfc3987_syntax", None)
