"""The command that plays the demo.

Belongs here: arguments, the progress bar, the printed report, the exit code. Does not: the story (``demo``).
"""

import sys

import click


@click.command()
@click.option("--from", "feed_from", default="2013-01-01", show_default=True, help="First day of history.")
@click.option("--live-from", default="2013-04-15", show_default=True, help="First live day.")
@click.option("--until", default="2013-05-31", show_default=True, help="Last day it may take.")
def demo(feed_from: str, live_from: str, until: str) -> None:
    """Play the life of a model on real flights, and check in the running system that it happened."""
    from mlops_assets.demo.stage import perform
    from mlops_assets.demo.story import Dates

    sys.exit(perform(Dates(feed_from=feed_from, live_from=live_from, until=until)))
