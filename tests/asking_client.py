"""A client in a process of its own that asks an edge again and again, one after the other.

    python -m tests.asking_client URL

It ends when its input does, and then prints as JSON how often each answer came.
"""

import json
import sys
import threading
from collections import Counter

import httpx

KEY = {"X-Nearline-Key": "dev"}
CONTEXT = {"consent": {"analytics": True, "personalization": True}}
VISITOR = "0f3a2b4c5d6e7f80"


def main(url: str) -> None:
    ended = threading.Event()
    threading.Thread(
        target=lambda: (sys.stdin.read(), ended.set()), daemon=True
    ).start()
    counts: Counter[str] = Counter()
    number = 0
    with httpx.Client(base_url=url, timeout=30, headers=KEY) as http:
        print("asking", flush=True)
        while not ended.is_set():
            number += 1
            outcome = {
                "decision_id": "d_1",
                "kind": "click",
                "event_id": f"r_asked_{number}",
            }
            # The edge keeps the first. Of the other three each goes to one service and then
            # to the next; with two of them each would go to the same one for ever.
            asked = (
                ("GET", "/v1/variants/banner?segment=loyal_customer", None),
                ("POST", "/v1/decide", {"slots": ["banner"]}),
                ("POST", "/v1/variants", {"slots": ["banner"]}),
                ("POST", "/v1/outcomes", {"outcomes": [outcome]}),
            )
            for method, path, body in asked:
                content = body and {"visitor": VISITOR, "context": CONTEXT, **body}
                try:
                    answer = http.request(method, path, json=content)
                    counts[f"{method} {path} {answer.status_code}"] += 1
                except httpx.TransportError as problem:
                    counts[f"{method} {path} {type(problem).__name__}"] += 1
    print(json.dumps(counts), flush=True)


if __name__ == "__main__":
    main(sys.argv[1])
