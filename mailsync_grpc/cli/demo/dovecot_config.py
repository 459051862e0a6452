"""The text of a Dovecot configuration for a private server on loopback: values in, text out.

Dovecot 2.4 renamed many settings and refuses those of 2.3, so each version has its dialect; what both share is written
once. The server runs wholly as one user without privileges: hence no chroot, and every service under the same name.
"""

from dataclasses import dataclass
from pathlib import Path

SPECIAL_USE = {
    "Sent": r"\Sent",
    "Drafts": r"\Drafts",
    "Trash": r"\Trash",
    "Junk": r"\Junk",
    "Archive": r"\Archive",
}

# What RFC 3501 demands, and no more: a server without CONDSTORE, ESEARCH, LIST-STATUS, UIDPLUS, SPECIAL-USE and MOVE.
PLAIN_CAPABILITY = "IMAP4rev1 LITERAL+"


@dataclass(frozen=True, slots=True)
class DovecotOptions:
    """What a server may be asked to be.

    ``storage`` is sdbox, mdbox or maildir. ``capability``, when set, is what the server announces instead of its own
    list; that hides extensions, it does not switch them off. ``special_use`` creates the folders of ``SPECIAL_USE``.
    Personal folders are below ``prefix``, whose last character is between levels (``/`` without one); ``shared`` is the
    prefix of a namespace that all users share, none when empty. ``introspection_url``, when set, is where OAuth 2 access
    tokens are held against (RFC 7662), which then log users in beside their passwords.
    With ``client_ca``, a PEM file, only clients that show a certificate of that authority may log in.
    ``extra`` is further configuration, appended as it is.
    """

    storage: str = "sdbox"
    capability: str | None = None
    special_use: bool = True
    prefix: str = ""
    shared: str = ""
    client_ca: Path | None = None
    introspection_url: str = ""
    extra: str = ""


@dataclass(frozen=True, slots=True)
class Site:
    """Where a server runs: its directory, its two loopback ports, and the user and group it runs as."""

    directory: Path
    port: int
    tls_port: int
    user: str
    group: str


def render(site: Site, options: DovecotOptions, version: tuple[int, int]) -> str:
    """The configuration file for a Dovecot of this major and minor version."""
    dialect = _dialect_2_4 if version >= (2, 4) else _dialect_2_3
    parts = [dialect(site, options), _common(site), _namespace(options), _services(site)]
    if options.shared:
        # Dovecot 2.4 has a setting of its own for each half of 2.3's mail location.
        place = f"mail_path = {site.directory}/shared"
        if version < (2, 4):
            place = f"location = {options.storage}:{site.directory}/shared"
        parts.append(_shared_namespace(options, place))
    if options.client_ca is not None:
        parts.append(_client_certificates(options.client_ca, version))
    if options.introspection_url:
        parts.append(_tokens(site, options, version))
    if options.capability is not None:
        parts.append(f"imap_capability = {options.capability}")
    return "\n".join([*parts, options.extra, ""])


def _common(site: Site) -> str:
    return f"""
base_dir = {site.directory}/run
state_dir = {site.directory}/state
log_path = {site.directory}/dovecot.log
listen = 127.0.0.1
ssl = yes
auth_mechanisms = plain login
auth_failure_delay = 0
default_internal_user = {site.user}
default_internal_group = {site.group}
default_login_user = {site.user}
default_vsz_limit = 8G
default_process_limit = 1024
default_client_limit = 8192
first_valid_uid = 1
first_valid_gid = 1
mail_uid = {site.user}
mail_gid = {site.group}
mail_fsync = never
mail_max_userip_connections = 0
mailbox_list_index = yes
"""


def _dialect_2_3(site: Site, options: DovecotOptions) -> str:
    return f"""
protocols = imap
disable_plaintext_auth = no
ssl_cert = <{site.directory}/server.pem
ssl_key = <{site.directory}/server.key
mail_home = {site.directory}/mail/%u
mail_location = {options.storage}:~/{options.storage}
passdb {{
  driver = passwd-file
  args = scheme=plain {site.directory}/users
}}
userdb {{
  driver = static
}}
"""


def _dialect_2_4(site: Site, options: DovecotOptions) -> str:
    # The version must be the first setting of the file.
    return f"""dovecot_config_version = 2.4.0
dovecot_storage_version = 2.4.0
protocols = imap
auth_allow_cleartext = yes
ssl_server_cert_file = {site.directory}/server.pem
ssl_server_key_file = {site.directory}/server.key
mail_home = {site.directory}/mail/%{{user}}
mail_driver = {options.storage}
mail_path = ~/{options.storage}
passdb passwd-file {{
  default_password_scheme = plain
  passwd_file_path = {site.directory}/users
}}
userdb static {{
}}
"""


def _namespace(options: DovecotOptions) -> str:
    special = SPECIAL_USE if options.special_use else {}
    mailboxes = "\n".join(
        f"  mailbox {name} {{\n    auto = subscribe\n    special_use = {use}\n  }}"
        for name, use in special.items()
    )
    names = f"  prefix = {options.prefix}\n  separator = {_separator(options)}"
    return f"namespace inbox {{\n  inbox = yes\n{names}\n{mailboxes}\n}}\n"


def _shared_namespace(options: DovecotOptions, place: str) -> str:
    names = f"  prefix = {options.shared}\n  separator = {_separator(options)}"
    return f"namespace shared {{\n  type = public\n{names}\n  {place}\n  list = yes\n}}\n"


def _client_certificates(authority: Path, version: tuple[int, int]) -> str:
    names = ("ssl_server_ca_file = ", "ssl_server_request_client_cert", "ssl_server_require_crl")
    if version < (2, 4):
        names = ("ssl_ca = <", "ssl_verify_client_cert", "ssl_require_crl")
    return f"{names[0]}{authority}\n{names[1]} = yes\n{names[2]} = no\nauth_ssl_require_client_cert = yes"


def _tokens(site: Site, options: DovecotOptions, version: tuple[int, int]) -> str:
    mechanisms = "auth_mechanisms = plain login xoauth2 oauthbearer"
    if version < (2, 4):
        passdb = (
            f"  driver = oauth2\n  mechanisms = xoauth2 oauthbearer\n  args = {site.directory}/oauth2.conf"
        )
        return f"{mechanisms}\npassdb {{\n{passdb}\n}}"
    return f"{mechanisms}\noauth2 {{\n{introspection(options)}\n}}"


def introspection(options: DovecotOptions) -> str:
    """How tokens are held against; in 2.3 a file of its own."""
    return f"""introspection_mode = post
introspection_url = {options.introspection_url}
username_attribute = username
active_attribute = active
active_value = true
"""


def _separator(options: DovecotOptions) -> str:
    return options.prefix[-1:] or "/"


def _services(site: Site) -> str:
    # A login process serves one connection after another at once: starting one for each costs most of a short login.
    return f"""
service imap-login {{
  chroot =
  process_min_avail = 1
  process_limit = 4
  inet_listener imap {{
    port = {site.port}
  }}
  inet_listener imaps {{
    port = {site.tls_port}
    ssl = yes
  }}
}}
service anvil {{
  chroot =
  # Closed, so that failed logins of one test do not slow down the next from the same address.
  unix_listener anvil-auth-penalty {{
    mode = 0
  }}
}}
service stats {{
  chroot =
}}
"""
