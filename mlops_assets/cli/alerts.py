"""The command that shows what people were told: ``alerts``.

Belongs here: listing them, and trying the addresses. Does not: what is worth an alert (``automation.alerts``).
"""

import click

from mlops_assets.adapters.alerts import Alert, Severity, open_alerts
from mlops_assets.adapters.registry import utc_now
from mlops_assets.cli.deployment import deployment
from mlops_assets.cli.look import JSON
from mlops_assets.contracts import to_json, to_plain


@click.command()
@click.option("--all", "every", is_flag=True, help="Those that are over too.")
@click.option("--try", "trying", is_flag=True, help="Send a made-up alert to every address in MLOPS_ALERT_ADDRESSES.")
@JSON
def alerts(every: bool, trying: bool, as_json: bool) -> None:
    """What people were told and is not over."""
    here = deployment()
    if trying:
        _try(here.settings.alert_addresses)
        return
    told = here.alerts.sent()
    shown = told if every else list(open_alerts(told).values())
    if as_json:
        click.echo(to_json(to_plain(shown)))
        return
    for alert in shown:
        click.echo(f"{alert.at}  {alert.severity:<8}  {alert.title}\n    {' '.join(alert.text.split())}")
        for label, url in alert.links.items():
            click.echo(f"    {label}: {url}")
    if not shown:
        click.echo("nothing is open")


def _try(addresses: tuple[str, ...]) -> None:
    from mlops_assets.adapters.notifications import send_by_apprise
    from mlops_assets.adapters.notifications import shown as kind_of

    if not addresses:
        raise click.ClickException("nobody to tell: MLOPS_ALERT_ADDRESSES names no address")
    made_up = Alert(key="try", at=utc_now(), severity=Severity.INFO, title="A test", text="of alerts; all is well")
    taken = [send_by_apprise(address, made_up) for address in addresses]
    for number, (address, well) in enumerate(zip(addresses, taken, strict=True), start=1):
        click.echo(f"address {number} ({kind_of(address)}): {'took it' if well else 'did not take it'}")
    if not all(taken):
        raise SystemExit(1)
