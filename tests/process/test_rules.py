"""The alarms that are shipped speak of metrics that are there, and the page of operations of every alarm."""

import re
from pathlib import Path

import yaml

from xds_server import telemetry

ROOT = Path(__file__).parents[2]
RULES = ROOT / "deploy" / "prometheus" / "xds-server.rules.yaml"
PAGE = (ROOT / "docs" / "operations.md").read_text()


def rules():
    return [rule for group in yaml.safe_load(RULES.read_text())["groups"] for rule in group["rules"]]


def scraped():
    found = {}
    for collector in set(telemetry.REGISTRY._names_to_collectors.values()):
        suffix = "_total" if collector._type == "counter" else ""
        found[collector._name + suffix] = set(collector._labelnames)
    return found


def test_every_alarm_speaks_of_a_metric_and_labels_that_are_there():
    known = scraped()
    for rule in rules():
        for name, labels in re.findall(r"\b(xds_\w+)(?:\{([^}]*)\})?", rule["expr"]):
            assert name in known, rule["alert"]
            assert set(re.findall(r"(\w+)=", labels)) <= known[name], rule["alert"]


def test_every_label_in_a_summary_is_of_the_metric():
    known = scraped()
    for rule in rules():
        labels = {label for name in re.findall(r"\bxds_\w+", rule["expr"]) for label in known[name]}
        told = set(re.findall(r"\$labels\.(\w+)", rule["annotations"]["summary"]))
        assert told <= {*labels, "instance"}, rule["alert"]


def test_the_page_tells_what_to_do_about_every_alarm():
    rows = re.findall(r"^\| (Xds[^|]+) \|", PAGE, re.MULTILINE)
    assert sorted(name for row in rows for name in row.split(", ")) == sorted(one["alert"] for one in rules())


def test_every_metric_the_page_names_is_there():
    assert set(re.findall(r"`(xds_\w+)", PAGE)) <= scraped().keys()
