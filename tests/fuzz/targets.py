"""All that is fuzzed here; F-d, whole conversations, is `tests/protocol/test_conversation.py`."""

from tests.fuzz import consul_json, last_good, pem, requests, resources, settings_yaml

TARGETS = [
    consul_json.TARGET,
    resources.TARGET,
    requests.TARGET,
    settings_yaml.TARGET,
    pem.TARGET,
    last_good.TARGET,
]
