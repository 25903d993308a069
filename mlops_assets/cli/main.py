"""The ``mlops`` command and its sub-commands, by file.

Here: the list of commands. Belongs here: nothing else.
"""

import warnings

import click

from mlops_assets.cli.alerts import alerts
from mlops_assets.cli.cards import card
from mlops_assets.cli.deployment import Door
from mlops_assets.cli.drill import drill
from mlops_assets.cli.impact import impact
from mlops_assets.cli.incidents import incidents
from mlops_assets.cli.keys import keys, verify
from mlops_assets.cli.look import lineage, status
from mlops_assets.cli.operate import override, promote, rollback
from mlops_assets.cli.play import demo
from mlops_assets.cli.reproduce import reproduce
from mlops_assets.cli.run import serve, stop, up
from mlops_assets.cli.sample import sample
from mlops_assets.cli.sign import sign_off
from mlops_assets.cli.trace import history
from mlops_assets.cli.transfer import transfer
from mlops_assets.cli.watch import watch
from mlops_assets.cli.why import why


@click.group(cls=Door, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
def main() -> None:
    """Machine learning in production as one asset graph: look, operate, run."""
    # Importing the asset graph tells of a hundred beta features: news for who writes it, noise in an answer or a mail.
    warnings.simplefilter("ignore")


LOOK = (status, watch, alerts, incidents, history, why, lineage, impact, verify, reproduce, card)
OPERATE = (promote, override, rollback, sign_off, transfer, keys)
for command in (demo, sample, drill, up, serve, stop, *LOOK, *OPERATE):
    main.add_command(command)

if __name__ == "__main__":
    main()
