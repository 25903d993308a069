"""The story is played once; every live test looks at its record."""

import pytest

from mlops_assets_tests.live.dagster_dev import Place
from mlops_assets_tests.live.story import FEED_FROM, LIVE_FROM, Record, Story


@pytest.fixture(scope="session")
def told(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Story:
    """The story after its last act, whose processes are gone."""
    capture = request.config.pluginmanager.getplugin("capturemanager")

    def say(text: str) -> None:
        with capture.global_and_fixture_disabled():
            print(text, flush=True)

    say("")
    story = Story(Place(tmp_path_factory.mktemp("live"), FEED_FROM, LIVE_FROM), say)
    try:
        story.play()
    except AssertionError as error:
        # What happened is printed above once; every test that needs the story says only this.
        pytest.fail(f"the story broke off: {error}", pytrace=False)
    return story


@pytest.fixture
def record(told: Story) -> Record:
    """What the running system said."""
    return told.record
