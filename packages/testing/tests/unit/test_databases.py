import pytest

from automation.testing.databases import database_from_env


@pytest.fixture(autouse=True)
def plain_environment(monkeypatch):
    for name in ("DATABASE", "SUFFIX", "HOST", "PORT", "USER", "PASSWORD"):
        monkeypatch.delenv(f"AUTOMATION_TEST_{name}", raising=False)


def test_sqlite_is_the_default_on_disk_with_the_options_we_advise():
    entry = database_from_env("shop")

    assert entry["ENGINE"] == "django.db.backends.sqlite3"
    assert entry["OPTIONS"]["transaction_mode"] == "IMMEDIATE"
    assert "journal_mode=WAL" in entry["OPTIONS"]["init_command"]
    assert entry["NAME"].endswith(".sqlite3")
    assert entry["TEST"]["NAME"] != entry["NAME"]


@pytest.mark.parametrize(("kind", "engine"), [("postgres", "postgresql"), ("mariadb", "mysql")])
def test_a_server_is_named_by_the_environment(monkeypatch, kind, engine):
    monkeypatch.setenv("AUTOMATION_TEST_DATABASE", kind)
    monkeypatch.setenv("AUTOMATION_TEST_HOST", "db.example")

    entry = database_from_env("shop")

    assert entry["ENGINE"] == f"django.db.backends.{engine}"
    assert (entry["HOST"], entry["NAME"]) == ("db.example", "shop")


def test_the_suffix_keeps_two_checkouts_apart(monkeypatch):
    monkeypatch.setenv("AUTOMATION_TEST_DATABASE", "postgres")
    monkeypatch.setenv("AUTOMATION_TEST_SUFFIX", "_two")

    assert database_from_env("shop")["NAME"] == "shop_two"


def test_another_variable_may_choose(monkeypatch):
    monkeypatch.setenv("SHOP_DATABASE", "postgres")

    assert database_from_env("shop", variable="SHOP_DATABASE")["ENGINE"].endswith("postgresql")


def test_an_unknown_kind_is_refused_with_the_known_ones(monkeypatch):
    monkeypatch.setenv("AUTOMATION_TEST_DATABASE", "oracle")

    with pytest.raises(ValueError, match=r"'oracle' is not a database we know\. Use 'sqlite', 'postgres' or 'mariadb'"):
        database_from_env("shop")
