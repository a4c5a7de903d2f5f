"""Every mistake in a declaration has a check with an id."""

import re
from datetime import timedelta
from types import SimpleNamespace

import pytest
from django.apps import apps
from django.core import checks as django_checks
from django.db import connection, models
from django.db.models import Q
from django.test.utils import isolate_apps

from automation.events import checks, key_checks, registry
from automation.events.callback_checks import check_callbacks
from automation.events.callbacks import on_event
from automation.events.checks import check_databases, check_definitions, check_namespace, check_settings
from automation.events.conf import Configuration, conf
from automation.events.definitions import EventDefinition
from automation.events.key_checks import check_keys
from tests.hotel.models import Reservation


@pytest.fixture(autouse=True)
def forgotten():
    yield
    registry.forget()


def ids(model):
    return sorted(message.id.rpartition(".")[2] for message in checks._check_model(model))


def declare(*definitions, **attributes):
    """Make a model with these definitions, known to nobody else."""
    with isolate_apps("tests.hotel"):
        meta = type("Meta", (), {"app_label": "hotel"})
        return type(
            "Declared",
            (models.Model,),
            {
                "__module__": "tests.hotel.models",
                "Meta": meta,
                "events": list(definitions),
                "at": models.DateTimeField(null=True),
                "day": models.DateField(null=True),
                "number": models.IntegerField(default=0),
                **attributes,
            },
        )


@pytest.mark.parametrize(
    ("definitions", "expected"),
    [
        pytest.param([EventDefinition("a"), "b"], ["E001"], id="not a definition"),
        pytest.param([EventDefinition("a"), EventDefinition("a")], ["E002"], id="twice"),
        pytest.param([EventDefinition("a", date_field="nowhere")], ["E003"], id="unknown field"),
        pytest.param([EventDefinition("a", date_field="number")], ["E004"], id="not a date"),
        pytest.param([EventDefinition("a", date_field="at", repeat=True, condition=bool)], ["E005"], id="repeat"),
        pytest.param([EventDefinition("a", about="number")], ["E009"], id="about no relation"),
        pytest.param([EventDefinition("a", about="nowhere")], ["E009"], id="about unknown"),
        pytest.param([EventDefinition("a", date_field="day")], ["W001"], id="a date without a time"),
        pytest.param([EventDefinition("a", late=timedelta(1))], ["W002"], id="late without a date"),
        pytest.param([EventDefinition("a", repeat=True)], ["W003"], id="repeat without a condition"),
        pytest.param([EventDefinition("a", condition=Q(numbr=1))], ["E012"], id="a Q of an unknown field"),
        pytest.param([EventDefinition("a", condition=Q(number__near=1))], ["E012"], id="a Q of an unknown lookup"),
        pytest.param([EventDefinition("a", condition=Q(number="one"))], ["E012"], id="a Q of a wrong value"),
        pytest.param([EventDefinition("a", condition=Q(number__gt=1) | ~Q(at=None))], [], id="a sound Q"),
        pytest.param([EventDefinition("a", date_field="at")], [], id="sound"),
    ],
)
def test_definitions(definitions, expected):
    assert ids(declare(*definitions)) == expected


@pytest.mark.parametrize(
    "written",
    [EventDefinition("a"), {EventDefinition("a")}, (one for one in [EventDefinition("a")])],
    ids=["one", "set", "generator"],
)
def test_events_that_are_no_list(written):
    assert ids(declare(events=written)) == ["E001"]


@pytest.mark.parametrize("written", [{"a"}, "a", ["a"], None], ids=repr)
def test_events_of_somebody_else_are_left_alone(written):
    assert ids(declare(events=written)) == []


def test_primary_key_that_is_longer_than_what_is_stored():
    assert ids(declare(EventDefinition("a"), code=models.CharField(max_length=256, primary_key=True))) == ["E013"]
    assert ids(declare(EventDefinition("a"), code=models.CharField(max_length=255, primary_key=True))) == []


@isolate_apps("tests.hotel")
def test_name_declared_by_a_child_and_its_parent():
    class Parent(models.Model):
        events = [EventDefinition("a")]

        class Meta:
            app_label = "hotel"

    class Child(Parent):
        events = [EventDefinition("a")]

        class Meta:
            app_label = "hotel"

    assert ids(Parent) == []
    assert ids(Child) == ["E010"]


@isolate_apps("tests.hotel")
def test_composite_primary_key():
    class Paired(models.Model):
        pk = models.CompositePrimaryKey("one", "two")
        one = models.IntegerField()
        two = models.IntegerField()
        events = [EventDefinition("a")]

        class Meta:
            app_label = "hotel"

    assert ids(Paired) == ["E006"]


def test_hotel_has_no_errors():
    messages = check_definitions([apps.get_app_config("hotel")])
    assert [message.id for message in messages] == ["automation_events.W001"]


@pytest.mark.parametrize(
    ("written", "message"),
    [
        ({"LATE_LIMT": timedelta(1)}, r"unknown key 'LATE_LIMT'. Did you mean 'LATE_LIMIT'\? Known keys: BATCH, "),
        ({"LATE_LIMIT": 24}, r"\['LATE_LIMIT'\] is 24\. It must be a timedelta"),
        ({"late_limit": timedelta(1)}, "unknown key 'late_limit'"),
        ({7: timedelta(1)}, "unknown key 7"),
        ({"CLAIM": timedelta(0)}, "more than nothing"),
        ({"BATCH": 501}, "a whole number from 1 to 500"),
        ({"RETRY_ATTEMPTS": True}, "a whole number of 1 or more"),
        ({"RETRY_JITTER": 2}, "a number from 0 to 1"),
        ({"RETRY_FACTOR": float("inf")}, "a number of 1 or more"),
        ({"DATABASES": 3}, "list of database aliases"),
        ({"DATABASES": "default"}, "list of database aliases"),
        (["LATE_LIMIT"], "must be a dict"),
    ],
)
def test_wrong_settings_are_named_and_do_not_count(settings, written, message):
    settings.AUTOMATION_EVENTS = written
    [error] = check_settings()
    assert error.id == "automation_events.E007"
    assert re.search(message, error.msg)
    assert conf() == Configuration()


def test_a_database_that_is_not_there_is_named(settings):
    settings.AUTOMATION_EVENTS = {"DATABASES": ["default", "elsewhere"]}

    [error] = check_settings()

    assert error.id == "automation_events.E014"
    assert "'elsewhere', which is not in DATABASES" in error.msg


def test_settings_are_read_when_needed(settings):
    settings.AUTOMATION_EVENTS = {"LATE_LIMIT": timedelta(hours=1)}
    assert conf().late_limit == timedelta(hours=1)
    del settings.AUTOMATION_EVENTS
    assert conf().late_limit == timedelta(hours=24)


def test_dates_without_time_zones_are_warned_of(settings):
    settings.USE_TZ = False
    assert [message.id for message in check_settings()] == ["automation_events.W006"]


def test_package_that_shadows_the_namespace_is_named(monkeypatch):
    import automation

    assert check_namespace() == []
    monkeypatch.setattr(automation, "__file__", "/project/automation/__init__.py", raising=False)
    [error] = check_namespace()
    assert "/project/automation/__init__.py" in error.msg


def test_deferred_sqlite_is_warned_of(monkeypatch):
    databases = {
        "a": {"ENGINE": "django.db.backends.sqlite3", "NAME": "a.sqlite3"},
        "b": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"},
        "c": {"ENGINE": "django.db.backends.sqlite3", "OPTIONS": {"transaction_mode": "IMMEDIATE"}},
    }
    monkeypatch.setattr(checks.settings, "DATABASES", databases)
    assert [message.msg.split()[1] for message in check_databases()] == ["'a'"]


def test_model_written_where_events_may_not_be_stored(settings):
    settings.DATABASE_ROUTERS = ["tests.integration.test_checks.NowhereRouter"]
    found = {message.id for message in check_databases()}
    assert found == {"automation_events.E011"}


class NowhereRouter:
    def allow_migrate(self, db, app_label, **_):
        return False if app_label == "automation_events" else None


def test_callback_for_an_event_nobody_declares():
    on_event("chekin_due", name="slip")(lambda event: None)
    on_event("checkin_due", "no.such", name="nowhere")(lambda event: None)
    on_event("*", name="all")(lambda event: None)
    on_event("checkin_due", "reservation", name="sound")(lambda event: None)
    slip, nowhere = check_callbacks()
    assert (slip.id, slip.hint.partition("?")[0]) == ("automation_events.W005", "Did you mean 'checkin_due'")
    assert "'nowhere' is for event 'checkin_due' of 'no.such'" in nowhere.msg


def test_callback_before_an_immediate_event():
    on_event("reservation_confirmed", name="early", offset_minutes=-1)(lambda event: None)
    [warning] = check_callbacks()
    assert warning.id == "automation_events.W007"


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(
    ("collation", "warned"), [(None, ["W008"]), ("utf8mb4_bin", [])], ids=["of the database", "bytewise"]
)
def test_text_key_of_which_two_spellings_are_one_is_warned_of(monkeypatch, collation, warned):
    """MariaDB's default collation calls 'nl' and 'NL' one key; events are kept under the spelling of the save."""
    if connection.vendor != "mysql":
        collation, warned = None, []
    text = models.CharField(max_length=10, primary_key=True, db_collation=collation)
    spelled, numbered = declare(EventDefinition("a"), code=text), Reservation
    monkeypatch.setattr(
        key_checks, "declarations", lambda: {one: SimpleNamespace(model=one) for one in (spelled, numbered)}
    )
    assert check_keys(databases=["default"]) == [], "before its table is there"
    with connection.schema_editor() as editor:
        editor.create_model(spelled)
    try:
        found = check_keys(databases=["default"])
    finally:
        with connection.schema_editor() as editor:
            editor.delete_model(spelled)
    assert [message.id.rpartition(".")[2] for message in found] == warned
    assert [message.obj for message in found] == [spelled] * len(warned)
    assert check_keys() == check_keys(databases=None) == [], "no database is asked anything unless it is named"


@pytest.mark.django_db(databases=["default", "other"])
def test_keys_are_checked_where_databases_are():
    found = {message.id for message in django_checks.run_checks(databases=["default"])}
    assert ("automation_events.W008" in found) is (connection.vendor == "mysql"), "of the hotel's Country"
    for asked in ({}, {"tags": ["automation"]}):
        assert "automation_events.W008" not in {message.id for message in django_checks.run_checks(**asked)}


def test_checks_run_with_manage_check():
    ours = [message for message in django_checks.run_checks(tags=["automation"]) if message.is_serious()]
    assert ours == []
