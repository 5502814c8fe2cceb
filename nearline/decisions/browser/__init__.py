"""The browser helper: fills a page's slots, and tells when they were really seen.

Belongs here: the script that a page loads. What it does and why stands in `slots.js`; how
a page calls it in `slots.d.ts`. Not here: HTTP (`nearline.decisions.app` owns the route).
"""

from nearline.browser_script import BrowserScript

SLOTS = BrowserScript("nearline.decisions.browser", "slots.js")
"""As it is served."""
