import urllib.request

import pytest

from actors.errors import MetricsUnavailable
from actors.metrics import METRICS
from actors.port_meter import PortMeter


def test_prometheus_reads_what_was_measured() -> None:
    meter = PortMeter(METRICS, {"campaign": "kinases"}, 0)
    try:
        meter.count("lingshu_leases_total", 2, status="lost")
        meter.set("lingshu_replicas", 4)
        meter.observe("lingshu_commit_latency_seconds", 0.3)
        lines = urllib.request.urlopen(meter.url).read().decode().splitlines()
    finally:
        meter.close()
    assert 'lingshu_leases_total{campaign="kinases",status="lost"} 2.0' in lines
    assert 'lingshu_replicas{campaign="kinases"} 4.0' in lines
    assert 'lingshu_commit_latency_seconds_bucket{campaign="kinases",le="0.5"} 1.0' in lines
    assert 'lingshu_commit_latency_seconds_bucket{campaign="kinases",le="0.25"} 0.0' in lines
    with pytest.raises(OSError, match="refused"):
        urllib.request.urlopen(meter.url)


def test_a_port_that_is_taken_is_named() -> None:
    first = PortMeter(METRICS, {}, 0)
    try:
        port = int(first.url.split(":")[2].split("/")[0])
        with pytest.raises(MetricsUnavailable, match=rf"127.0.0.1:{port}: Address already in use. Choose another"):
            PortMeter(METRICS, {}, port)
    finally:
        first.close()
