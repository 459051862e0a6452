"""A Dovecot of either line gets a configuration in its own words."""

from pathlib import Path

import pytest

from mailsync_grpc.cli.demo.dovecot_config import PLAIN_CAPABILITY, DovecotOptions, Site, render

_SITE = Site(Path("/srv/d"), 10143, 10993, "nobody", "nogroup")
_OLD = {"mail_location", "disable_plaintext_auth", "ssl_cert", "ssl_key", "driver", "args"}
_NEW = {"mail_driver", "mail_path", "auth_allow_cleartext", "ssl_server_cert_file", "dovecot_config_version"}


def _names(text: str) -> set[str]:
    return {line.split("=")[0].strip() for line in text.splitlines() if "=" in line}


def test_each_version_gets_its_own_names_and_none_of_the_other() -> None:
    old = _names(render(_SITE, DovecotOptions(), (2, 3)))
    new = _names(render(_SITE, DovecotOptions(), (2, 4)))
    assert old >= _OLD
    assert new >= _NEW
    assert not old & _NEW
    assert not new & _OLD


def test_the_version_is_the_first_setting_where_it_is_demanded() -> None:
    assert render(_SITE, DovecotOptions(), (2, 4)).startswith("dovecot_config_version = ")


@pytest.mark.parametrize("version", [(2, 3), (2, 4)])
def test_what_is_asked_for_is_in_the_text(version: tuple[int, int]) -> None:
    asked = DovecotOptions(
        storage="maildir", capability=PLAIN_CAPABILITY, special_use=False, extra="mail_debug = yes"
    )
    text = render(_SITE, asked, version)
    assert "maildir" in text
    assert "sdbox" not in text
    assert f"imap_capability = {PLAIN_CAPABILITY}" in text
    assert "special_use" not in text
    assert text.rstrip().endswith("mail_debug = yes")
    assert text.count("{") == text.count("}")


def test_personal_folders_are_below_a_prefix_and_others_in_a_shared_namespace() -> None:
    asked = DovecotOptions(prefix="INBOX.", shared="Team.")
    for version, place in (((2, 3), "location = sdbox:/srv/d/shared"), ((2, 4), "mail_path = /srv/d/shared")):
        text = render(_SITE, asked, version)
        assert all(line in text for line in ("prefix = INBOX.\n  separator = .", "prefix = Team.", place))
    assert "namespace shared" not in render(_SITE, DovecotOptions(), (2, 3))


def test_client_certificates_are_asked_for_in_each_versions_words() -> None:
    asked = DovecotOptions(client_ca=Path("/ca.pem"))
    assert "ssl_ca = </ca.pem\nssl_verify_client_cert = yes" in render(_SITE, asked, (2, 3))
    assert "ssl_server_ca_file = /ca.pem\nssl_server_request_client_cert = yes" in render(
        _SITE, asked, (2, 4)
    )
    assert "auth_ssl_require_client_cert" not in render(_SITE, DovecotOptions(), (2, 3))
