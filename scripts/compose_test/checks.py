"""What has to be true of the running demo."""

import json
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Self

from project import Demo
from running import TestFailedError, run, say, wait_for


@dataclass
class Traffic:
    """Requests to the user service through Envoy, from four threads, until it is told to stop."""

    demo: Demo
    results: list[tuple[float, int, str]] = field(default_factory=list)
    _stop: threading.Event = field(default_factory=threading.Event)

    def __enter__(self) -> Self:
        self._threads = [threading.Thread(target=self._send) for _ in range(4)]
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def _send(self) -> None:
        while not self._stop.wait(0.02):
            begun = time.monotonic()
            status, body = self.demo.get("ENVOY_PORT", host="user")
            self.results.append(
                (begun, status, json.loads(body)["instance"] if status == HTTPStatus.OK else body)
            )


def check_traffic(demo: Demo) -> None:
    """See that both instances of both services answer through Envoy, and order carries user's answer."""
    users: Counter[str] = Counter()
    orders: Counter[str] = Counter()
    for _ in range(200):
        status, body = demo.get("ENVOY_PORT", host="user")
        if status != HTTPStatus.OK:
            raise TestFailedError(f"user answered {status} through Envoy: {body[:300]}")
        users[json.loads(body)["instance"]] += 1
    for _ in range(50):
        status, body = demo.get("ENVOY_PORT", host="order")
        if status != HTTPStatus.OK or "instance" not in json.loads(body)["user"]:
            raise TestFailedError(
                f"order answered {status} through Envoy, not with user's answer in it: {body[:300]}"
            )
        orders[json.loads(body)["instance"]] += 1
    if set(users) != {"user-1", "user-2"} or set(orders) != {"order-1", "order-2"}:
        raise TestFailedError(f"Not every instance answered: {dict(users)} {dict(orders)}.")
    say(f"200 requests to user, 50 to order, all answered: {dict(users)} {dict(orders)}")


def is_critical(demo: Demo, instance: str) -> bool:
    """Tell whether Consul's check of a user instance is critical."""
    status, body = demo.get("CONSUL_PORT", "/v1/health/service/user")
    rows = json.loads(body) if status == HTTPStatus.OK else []
    checks = [check for row in rows if row["Service"]["ID"] == instance for check in row["Checks"]]
    return any(check["Status"] == "critical" for check in checks)


def check_kill(demo: Demo) -> None:
    """See that a killed instance takes nothing once Consul knows, no request fails, and it can come back."""
    dead = demo.container("user-1")
    with Traffic(demo) as traffic:
        time.sleep(1)
        killed = time.monotonic()
        run("docker", "kill", dead, timeout=30, env=demo.env)
        wait_for("user-1's check turning critical", 30, lambda: is_critical(demo, "user-1"), every=0.05)
        took = time.monotonic() - killed
        known = time.monotonic() + 0.5
        say(f"user-1 killed; its check was critical after {took:.1f} s")
        time.sleep(5)
    before = [
        result for result in traffic.results if killed <= result[0] < known and result[1] != HTTPStatus.OK
    ]
    after = [result for result in traffic.results if result[0] >= known]
    failed = [result for result in after if result[1] != HTTPStatus.OK]
    say(f"{len(before)} requests failed before Consul knew, {len(failed)} of {len(after)} later")
    if failed or any(instance == "user-1" for _, _, instance in after):
        raise TestFailedError(
            f"After user-1 was critical, {len(failed)} requests failed, or it still answered: {failed[:3]}"
        )
    run("docker", "start", dead, timeout=30, env=demo.env)
    back = wait_for(
        "user-1 answering again", 60, lambda: '"user-1"' in demo.get("ENVOY_PORT", host="user")[1]
    )
    say(f"user-1 started again; it answered after {back:.1f} s")


def check_ejection(demo: Demo) -> None:
    """See that Envoy ejects an instance that answers 503 while its check in Consul stays well."""
    failing = demo.container("user-1")
    post = "import urllib.request as u; u.urlopen('http://127.0.0.1:8080/fail', data=b'')"
    run("docker", "exec", failing, "python", "-c", post, timeout=30, env=demo.env)

    def ejected() -> bool:
        demo.get("ENVOY_PORT", host="user")
        return "failed_outlier_check" in demo.get("ENVOY_ADMIN_PORT", "/clusters")[1]

    wait_for("the ejection of user-1", 30, ejected, every=0.02)
    answers = [demo.get("ENVOY_PORT", host="user")[0] for _ in range(50)]
    if set(answers) != {HTTPStatus.OK}:
        raise TestFailedError(f"After user-1 was ejected, requests were answered {Counter(answers)}.")
    say("user-1 answered 503 and was ejected; 50 of 50 requests are answered by the other one")
