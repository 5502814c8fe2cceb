"""What makes a page one file that loads nothing: its style, its script, its policy.

Not here: what any page says.
"""

import base64
import hashlib
from functools import cache
from importlib.resources import files
from typing import Any

import altair as alt
import vl_convert
from jinja2 import Environment, FunctionLoader, StrictUndefined
from markupsafe import Markup

from nearline.dashboards import charts


def render_document(template: str, **values: Any) -> str:
    """A template of this package with style, script and policy put in.

    `specifications` are the charts, by the id of their place; a page without any carries
    no script.
    """
    script = _script() if "specifications" in values else ""
    environment = Environment(
        autoescape=True, undefined=StrictUndefined, loader=FunctionLoader(_asset)
    )
    return environment.get_template(template).render(
        policy=_content_policy(script),
        style=Markup(_asset("page.css")),
        themes=charts.THEMES,
        script=Markup(script),
        **values,
    )


def _content_policy(script: str) -> str:
    """Only this very script runs, and nothing is fetched: the browser enforces it.

    So a name from the data could not even with a fault in escaping run as script, and
    a chart that named an address would show nothing rather than tell anybody.
    """
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    return (
        f"default-src 'none'; script-src 'sha256-{digest}'; "
        "style-src 'unsafe-inline'; img-src data:; base-uri 'none'; form-action 'none'"
    )


@cache
def _script() -> str:
    """`page.js` with Vega-Embed and all that it needs, in Altair's version of it."""
    version = ".".join(alt.SCHEMA_VERSION.split(".")[:2])
    # Browsers hash a script with its line ends made one; the policy must match.
    return _one_line_end(vl_convert.javascript_bundle(_asset("page.js"), version))


def _asset(name: str) -> str:
    return _one_line_end(files(__package__).joinpath(name).read_text(encoding="utf-8"))


def _one_line_end(text: str) -> str:
    return text.replace("\r\n", "\n").replace("\r", "\n")
