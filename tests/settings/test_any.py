from pathlib import Path

import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from xds_server.settings import SettingsError, load


def findings(file: Path) -> tuple[str, ...]:
    """Load a file, which must end in settings or in a `SettingsError` that says something."""
    try:
        load(flags={}, environ={}, file=file)
    except SettingsError as error:
        if not error.findings:
            raise
        return error.findings
    return ()


KEYS = st.sampled_from(
    [
        "consul",
        "xds",
        "address",
        "tls",
        "services",
        "listeners",
        "routes",
        "hosts",
        "secrets",
        "defaults",
        "a",
        "*",
        "",
    ]
)
VALUES = st.one_of(
    KEYS,
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(max_size=8),
    st.just("0.0.0.0:80"),
    st.just("5s"),
)
TREES = st.recursive(
    VALUES,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(KEYS | st.text(max_size=5), inner, max_size=4)
    ),
    max_leaves=12,
)


@settings(max_examples=150, deadline=None)
@given(
    text=st.text(max_size=80).map(lambda text: text.encode("utf-8", "surrogatepass"))
    | st.binary(max_size=60)
    | TREES.map(lambda tree: yaml.safe_dump(tree, allow_unicode=True).encode("utf-8", "replace"))
)
def test_any_text_is_settings_or_a_settings_error(tmp_path_factory, text):
    file = tmp_path_factory.getbasetemp() / "any.yaml"
    file.write_bytes(text)

    assert all(finding.startswith(str(file)) for finding in findings(file))


@settings(max_examples=100, deadline=None)
@given(data=st.data())
def test_any_value_at_any_key_is_settings_or_a_settings_error(tmp_path_factory, data):
    text = st.text(max_size=10) | st.sampled_from(
        ["[::1]:0", "a:1", "http://a", "unix:///x", "*.b", "%", "\u202e"]
    )
    route = {"hosts": [data.draw(text)], "path_prefix": data.draw(text), "split": {data.draw(text): 1}}
    listener = {"name": data.draw(text), "address": data.draw(text), "routes": [route]}
    tree = {
        "consul": {"address": data.draw(text)},
        "xds": {"address": data.draw(text)},
        "catalog": data.draw(text),
        "listeners": [listener],
        "services": {
            data.draw(text): {"hash_on": [{"header": data.draw(text)}], "connect_timeout": data.draw(text)}
        },
        "secrets": {data.draw(text): {"ca_file": data.draw(text)}},
        "endpoints": {"allow": [data.draw(text)]},
    }
    file = tmp_path_factory.getbasetemp() / "shaped.yaml"
    file.write_text(yaml.safe_dump(tree))

    assert all(finding.isprintable() for finding in findings(file))
