"""Assignment in the browser: who sees which variant, bit for bit as the server says.

Belongs here: the script that a page loads; how a page calls it stands in `assignment.d.ts`.
Not here: HTTP (`nearline.collector` owns the route), or what it is told to assign
(`nearline experiment buckets`).
"""

from nearline.browser_script import BrowserScript

ASSIGNMENT = BrowserScript("nearline.experiments.browser", "assignment.js")
"""As it is served."""
