"""What `wait_for` takes, and what it says of the rest."""

import pytest

from pidone.ecosystem.values import Invalid, network


@pytest.mark.parametrize(
    "url",
    [
        "tcp://db:5432",
        "tcp://[::1]:5432",
        "http://search/_health",
        "http://search:9200/at:99999",
        "https://user:999999@search/?since=:70000",
        "http://[::1]:80",
        "unix:///run/x.sock",
        "file:///shared/ready now",
    ],
)
def test_a_service_is_taken_as_it_is(url: str) -> None:
    """Only what stands behind the host is a port."""
    assert network.SERVICES.parse(url) == (url,)


@pytest.mark.parametrize(
    ("value", "why"),
    [
        ("tcp://db", 'expected a port, as in "tcp://db:5432"'),
        ("tcp://db:0", "expected a port from 1 to 65535"),
        ("tcp://db:65536", "expected a port from 1 to 65535"),
        ("http://search:70000/", "expected a port from 1 to 65535"),
        ("db:5432", "expected a service such as"),
        ("udp://db:5432", "expected a service such as"),
        ("http:///x", "expected a service such as"),
        ("unix://run/x.sock", 'expected an absolute path, as in "unix:///run/x"'),
        ("unix:///" + "x" * 200, "bytes"),
        (5432, "expected a service such as"),
    ],
)
def test_what_is_no_service_is_told(value: object, why: str) -> None:
    """With what would be right."""
    with pytest.raises(Invalid) as refused:
        network.SERVICES.parse([value])
    [finding] = refused.value.findings
    assert why in finding.expected
