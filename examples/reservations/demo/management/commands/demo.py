"""`manage.py demo`: the whole example, watched live. Exits with 0 only when everything happened as promised."""

import logging
import signal
import sys
import time
from collections.abc import Callable
from datetime import datetime, timedelta
from types import FrameType
from typing import Any, NoReturn

from django.conf import settings
from django.core.cache import cache
from django.core.management import call_command
from django.core.management.base import BaseCommand
from django.db import connections
from django.utils import timezone
from rich.console import Console

from demo.cluster import Cluster
from demo.promises import Verdict, verdicts
from demo.story import OVER, Story
from demo.view import View, summary, view_for
from demo.watch import News, Picture, Watch

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
LOOK_SECONDS = 0.2
CLUSTER_SECONDS = 20
STORY_SECONDS = 40


class Command(BaseCommand):
    """Tell the story to a fresh database and a fresh cluster; watch; judge."""

    help = __doc__

    def handle(self, *args: Any, **options: Any) -> None:
        console = Console()
        # Of this process only: the cluster's log keeps every line.
        logging.getLogger("django-q").setLevel(logging.WARNING)
        for number in SIGNALS:
            signal.signal(number, _leave)
        _start_afresh()
        with Cluster(settings.VAR / "cluster.log") as cluster:
            console.print("A new database is migrated; waiting for the cluster's workers.")
            _wait(lambda: cluster.workers > 0 or cluster.has_died, CLUSTER_SECONDS)
            if not cluster.workers:
                console.print(f"The cluster did not start. Its log:\n{cluster.log.read_text()}")
                sys.exit(1)
            judged = _tell(console)
        console.print(summary(judged))
        _say_how_it_went(console, judged)
        sys.exit(0 if all(verdict.is_kept for verdict in judged) else 1)


def _leave(number: int, frame: FrameType | None) -> NoReturn:
    """Go by way of the cluster's end: it is in a process group of its own, and would work on for ever."""
    for each in SIGNALS:
        signal.signal(each, signal.SIG_IGN)
    sys.exit(128 + number)


def _start_afresh() -> None:
    """Remove what an earlier demo left, and nothing else that may be in the folder."""
    connections.close_all()
    for path in settings.VAR.glob(f"{settings.DATABASES['default']['NAME'].name}*"):
        path.unlink()
    cache.clear()
    call_command("migrate", verbosity=0)


def _wait(is_done: Callable[[], bool], seconds: float) -> None:
    until = time.monotonic() + seconds
    while not is_done() and time.monotonic() < until:
        time.sleep(LOOK_SECONDS)


def _tell(console: Console) -> list[Verdict]:
    """Play the story to its end, or until it has taken too long; return what became of the promises."""
    story = Story(timezone.now())
    watch = Watch(story.guests)
    with view_for(console, story.begins_at) as view:
        while True:
            now = timezone.now()
            _show(view, watch, story, now)
            judged = verdicts(story) if now - story.begins_at > OVER else []
            is_over = story.is_told and judged and all(verdict.is_kept for verdict in judged)
            if is_over or now - story.begins_at > timedelta(seconds=STORY_SECONDS):
                return judged
            time.sleep(LOOK_SECONDS)


def _show(view: View, watch: Watch, story: Story, now: datetime) -> None:
    played = [News(at=now, who=scene.who, text=scene.text) for scene in story.play(now)]
    seen = watch.look()
    news = sorted((*played, *seen.news), key=lambda one: one.at)
    view.show(Picture(runs=seen.runs, news=tuple(news)), timezone.now())


def _say_how_it_went(console: Console, judged: list[Verdict]) -> None:
    broken = sum(not verdict.is_kept for verdict in judged)
    if broken:
        console.print(f"{broken} of {len(judged)} promises were not kept. The cluster's log is in {settings.VAR}.")
    else:
        console.print(f"All {len(judged)} promises were kept. No call by hand started, woke or processed anything.")
