"""A million identifiers: the identity models beside SciPy's connected components."""

import time
from pathlib import Path

import duckdb
import numpy as np
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components

from tests.benchmarks.run import build
from tests.pipeline import Home

_VISITORS, _USERS, _CONTACTS = 600_000, 350_000, 50_000


def measure_identity(folder: Path, scale: float = 1.0) -> str:
    """A section of the report; `scale` makes the crowd smaller for a trial."""
    visitors, users = int(_VISITORS * scale), int(_USERS * scale)
    contacts = int(_CONTACTS * scale)
    home = Home(folder / "home")
    events = home.settings.raw / "format=nearline" / "landing_id=00000001"
    events.mkdir(parents=True)
    with duckdb.connect() as connection:
        connection.execute(
            f"""
            copy (
                select
                    'e' || i as event_id,
                    'identify' as event_name,
                    '1.2' as schema_version,
                    timestamp '2026-09-01' + to_seconds(i) as occurred_at,
                    timestamp '2026-09-01' + to_seconds(i) as received_at,
                    'shop_web' as source,
                    'v_bench_' || i as visitor_id,
                    'u_bench_' || (i % {users}) as user_id,
                    case
                        when i % {users} < 2 * {contacts}
                            then 'c_bench_' || (i % {users} // 2)
                    end as contact_id,
                    true as consent_analytics,
                    'benchmark' as source_file,
                    i as source_row
                from range({visitors}) as t(i)
            ) to '{events}/events.parquet' (format parquet)
            """
        )
    done = build(home, folder, "--select", "+bridge_identities")
    seconds = {
        name: spent
        for name, spent in done.node_seconds.items()
        if name.startswith("int_identity__") or name == "bridge_identities"
    }
    identifiers = visitors + users + contacts
    baseline = _by_scipy(visitors, users, contacts)
    total = sum(seconds.values())
    return "\n".join(
        [
            "## Identity",
            "",
            f"{identifiers:,} identifiers in one build. The baseline is SciPy's "
            "`connected_components` on the same pairs as integers, which knows no "
            "evidence, caps or reasons.",
            "",
            "| | seconds |",
            "|---|---|",
            f"| SciPy, the components alone | {baseline:.2f} |",
            f"| all identity models | {total:.2f} ({identifiers / total:,.0f} a second) |",
            *(
                f"| `{name}` | {spent:.2f} |"
                for name, spent in sorted(seconds.items(), key=lambda item: -item[1])
            ),
            "",
        ]
    )


def _by_scipy(visitors: int, users: int, contacts: int) -> float:
    visitor = np.arange(visitors)
    user = visitors + visitor % users
    linked = np.flatnonzero(visitor % users < 2 * contacts)
    contact = visitors + users + (visitor[linked] % users) // 2
    one = np.concatenate([visitor, user[linked]])
    other = np.concatenate([user, contact])
    size = visitors + users + contacts
    started = time.perf_counter()
    connected_components(coo_matrix((np.ones(len(one)), (one, other)), (size, size)))
    return time.perf_counter() - started
