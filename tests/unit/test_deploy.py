"""The alert rules and the dashboard: they name what the service exposes, and every alert fires when it should."""

import json
import re
import subprocess
from pathlib import Path

from mailsync_grpc import metrics
from mailsync_grpc.server import exposition

ROOT = Path(__file__).parents[2]
RULES = ROOT / "deploy" / "prometheus" / "mailsync.yml"
DASHBOARD = ROOT / "deploy" / "grafana" / "mailsync.json"
ALERTS = ROOT / "tests" / "data" / "alerts.yml"


def promtool(*arguments: str | Path) -> None:
    done = subprocess.run(["promtool", *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def exposed() -> set[str]:
    """Names of all samples that may be scraped."""
    store = metrics.StoreReading(0, 0, 0, 0, 0, 0, 0, 0, 0, {}, 0, {}, 0)
    watch = metrics.WatchReading(0, {})
    cache = metrics.CacheReading(0, 0, 0)
    shown = exposition.registry(
        metrics.StoreCollector(lambda: store),
        metrics.WatchCollector(lambda: watch),
        metrics.CacheCollector(lambda: cache),
    ).collect()
    return {f"{metric.name}{suffix}" for metric in shown for suffix in ("", "_bucket", "_total")}


def test_rules_and_dashboard_name_only_metrics_that_exist() -> None:
    promtool("check", "rules", RULES)
    rules, dashboard = RULES.read_text("utf-8"), DASHBOARD.read_text("utf-8")
    recorded = set(re.findall(r"record: (\S+)", rules))
    named = (
        set(re.findall(r"\b(?:mailsync|grpc_server)[a-z0-9_:]*_[a-z0-9_:]+", rules + dashboard)) - recorded
    )
    assert named - exposed() == set()


def test_every_alert_fires_when_it_should_and_not_before() -> None:
    promtool("test", "rules", ALERTS)
    alerts = set(re.findall(r"alert: (\S+)", RULES.read_text("utf-8")))
    assert alerts == set(re.findall(r"alertname: (\S+)", ALERTS.read_text("utf-8")))


def test_panels_of_the_dashboard_have_numbers_and_places_of_their_own() -> None:
    panels = json.loads(DASHBOARD.read_text("utf-8"))["panels"]
    places = [(panel["gridPos"]["x"], panel["gridPos"]["y"]) for panel in panels]
    assert len({panel["id"] for panel in panels}) == len(set(places)) == len(panels) > 0
