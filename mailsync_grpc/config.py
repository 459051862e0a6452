"""Every setting, in one place: defaults, a TOML file, `MAILSYNC_*` environment variables, command-line options.

Later sources win in that order. Nested settings are named with a double underscore in the environment
(`MAILSYNC_IMAP__ALLOW_PLAINTEXT`). A wrong setting is a `ConfigError` that names it and what is allowed; so is an unknown
name in the file or in a section. Other `MAILSYNC_*` variables are left alone: the command line has some, orchestrators
make some.
"""

import tomllib
from collections.abc import Mapping
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SecretStr,
    ValidationError,
    model_validator,
)
from pydantic_settings import (
    BaseSettings,
    NoDecode,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    SettingsError,
    TomlConfigSettingsSource,
)

from mailsync_grpc.errors import ConfigError
from mailsync_grpc.model.proxy import parse_proxy

Network = IPv4Network | IPv6Network
KNOWN_PROVIDERS = ("google", "microsoft")
"""Providers of authorizations whose endpoints need no configuration (`imap.providers`)."""


def _words(value: object) -> object:
    """Accept a JSON list or comma-separated words, as an environment variable carries them."""
    if not isinstance(value, str):
        return value
    return [part.strip().strip("\"'") for part in value.strip().strip("[]").split(",") if part.strip()]


def _sendable(token: SecretStr) -> SecretStr:
    """Refuse a token that no caller's header could carry as it is, such as one read from a file with its line end."""
    text = token.get_secret_value()
    if not (text and text.isascii() and text.isprintable() and " " not in text):
        raise ValueError("printable ASCII characters without blanks, at least one")
    return token


def _proxy(url: SecretStr) -> SecretStr:
    parse_proxy(url.get_secret_value())
    return url


def _each_network(value: object) -> object:
    parts = _words(value)
    return tuple(ip_network(part) for part in parts) if isinstance(parts, list) else parts


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class HostLimits(_Section):
    """What one host is asked for at most, by all processes together; what is not set stays as it is known."""

    connections: int | None = Field(default=None, ge=2)
    """Connections of one mailbox at a time."""
    host_connections: int | None = Field(default=None, ge=2)
    """Connections of all mailboxes together."""
    bytes_per_day: int | None = Field(default=None, ge=0)
    """Octets received of one mailbox in 24 hours, 0 for any number."""


class ImapConfig(_Section):
    """What is allowed and how patient we are toward mail servers."""

    allow_networks: Annotated[tuple[Network, ...], NoDecode, BeforeValidator(_each_network)] = ()
    """Networks that an IMAP host may resolve to although they are not public."""
    allow_plaintext: bool = False
    """Allow accounts without TLS."""
    proxy_url: Annotated[SecretStr, AfterValidator(_proxy)] | None = None
    """Proxy for accounts without their own, and for token endpoints; its address may be a private one."""
    connect_timeout: float = Field(default=15.0, gt=0, le=300)
    """Seconds to connect and to finish TLS."""
    command_timeout: float = Field(default=120.0, gt=0, le=3600)
    """Seconds that one command may take from its first to its last octet."""
    limits: dict[str, HostLimits] = Field(default_factory=dict)
    """Limits by domain (`gmail.com` holds for `imap.gmail.com`), `*` for every domain that is not named."""


class SecretsConfig(_Section):
    """Secrets of mail accounts that the operator keeps outside; none can be named unless one of the places is set."""

    directory: Path | None = None
    """Directory of files that `file:NAME` names."""
    env_prefix: str = Field(default="", pattern="^([A-Z][A-Z0-9_]*_)?$")
    """What the names of variables begin with that `env:NAME` names, such as MAIL_; those of MAILSYNC_ are never read."""
    hosts: Annotated[tuple[str, ...], NoDecode, BeforeValidator(_words)] = ()
    """Domains whose mail servers the secrets may be sent to, `*` for whichever a caller names."""

    @model_validator(mode="after")
    def _sent_somewhere(self) -> Self:
        if (self.directory or self.env_prefix) and not self.hosts:
            raise ValueError("secrets.hosts: name the domains that the secrets may be sent to, or *")
        return self


class OAuthProvider(_Section):
    """A provider of authorizations: this service's registration there and, unless it is a known one, where it is."""

    client_id: str = Field(min_length=1)
    client_secret: SecretStr | None = None
    issuer: str = ""
    """https address whose metadata names the endpoints, in place of both of them."""
    authorization_endpoint: str = ""
    token_endpoint: str = ""
    scopes: tuple[str, ...] = ()
    parameters: dict[str, str] = Field(default_factory=dict)
    """What the provider wants to see in the authorization request besides the standard's own."""


class OAuthConfig(_Section):
    """Logging in with OAuth 2."""

    providers: dict[str, OAuthProvider] = Field(default_factory=dict)
    """By the name that callers give; the endpoints and scopes of `google` and `microsoft` are known."""

    @model_validator(mode="after")
    def _reachable(self) -> Self:
        for name, provider in self.providers.items():
            given = bool(provider.issuer), bool(provider.authorization_endpoint and provider.token_endpoint)
            if name not in KNOWN_PROVIDERS and not any(given):
                raise ValueError(
                    f"oauth.providers.{name}: issuer, or authorization_endpoint and token_endpoint; known without them"
                    f" are {', '.join(KNOWN_PROVIDERS)}"
                )
        return self


def _directory(url: str) -> str:
    if url and not (url.startswith("https://") and url.isascii() and url.isprintable() and " " not in url):
        raise ValueError("an https URL, or empty")
    return url


class DiscoveryConfig(_Section):
    """Finding the mail server of an address."""

    timeout: float = Field(default=5.0, gt=0, le=25)
    """Seconds after which what was found is the answer."""
    ispdb_url: Annotated[str, AfterValidator(_directory)] = ""
    """Directory of autoconfig documents run by a third party, which is told the domains asked for; empty asks none."""


class TlsConfig(_Section):
    """Certificate and key of the gRPC port; PEM files, read again when they change."""

    cert_file: Path | None = None
    key_file: Path | None = None
    client_ca_file: Path | None = None
    """Authority of the certificates that callers must then show (mTLS), beside their token."""

    @model_validator(mode="after")
    def _both_or_none(self) -> Self:
        if (self.cert_file is None) != (self.key_file is None):
            raise ValueError("tls.cert_file and tls.key_file go together: set both or none")
        if self.client_ca_file is not None and self.cert_file is None:
            raise ValueError("tls.client_ca_file needs tls.cert_file and tls.key_file")
        return self


class StoreConfig(_Section):
    """Limits of the embedded store."""

    max_bytes: int = Field(default=64 << 30, ge=16 << 20)
    """Soft limit of the store's size; at it sync stops with STORE_FULL while reads go on."""
    log_max_age: float = Field(default=7 * 86_400.0, ge=3_600)
    """Seconds that events are kept."""
    log_max_bytes: int = Field(default=1 << 30, ge=1 << 20)
    """Octets of events that are kept."""


class ContentConfig(_Section):
    """The cache of message content on disk."""

    max_bytes: int = Field(default=10 << 30, ge=0)
    """Octets the cache may hold; 0 turns it off."""
    max_disk_use: float = Field(default=0.85, gt=0, le=1)
    """Share of the disk in use above which the least recently used content goes."""
    chunk_size: int = Field(default=64 << 10, ge=1 << 10, le=1 << 20)
    """Octets of a streamed chunk unless the caller asks for another size."""


class AppendConfig(_Section):
    """Messages that callers add to folders."""

    max_bytes: int = Field(default=50 << 20, ge=1 << 10, le=2 << 30)
    """Octets that one may have; it waits on disk until the mail server has it."""
    max_spooled_bytes: int = Field(default=4 << 30, ge=1 << 10)
    """Octets of all that wait on disk or are being received, of all callers."""

    @model_validator(mode="after")
    def _one_fits(self) -> Self:
        if self.max_spooled_bytes < self.max_bytes:
            raise ValueError("append.max_spooled_bytes: at least append.max_bytes, or the largest never fit")
        return self


class WatchConfig(_Section):
    """Bounds of the event streams."""

    max_streams: int = Field(default=10_000, ge=1)
    max_snapshots: int = Field(default=16, ge=1)
    """Snapshots and exports that are read at a time."""
    heartbeat: float = Field(default=15.0, ge=1, le=300)
    """Seconds of silence before a heartbeat unless the caller asks for another interval."""
    max_age: float = Field(default=1_800.0, ge=1)
    """Seconds (± 20 %) after which a stream ends with GOODBYE."""
    stall_timeout: float = Field(default=30.0, gt=0)
    """Seconds without write progress before a stream ends with SLOW_CONSUMER."""
    ring_bytes: int = Field(default=32 << 20, ge=1 << 20)
    """Octets of recent events kept in memory for all streams."""
    max_labels: int = Field(default=64, ge=0, le=1_000)
    """Different labels of streams that the lag metrics keep apart; all further ones are shown as `other`."""


class QuotaConfig(_Section):
    """What each access token may use."""

    calls_per_second: float = Field(default=1_000.0, gt=0)
    burst: int = Field(default=10_000, ge=1)
    """Calls that may come at once after a pause."""
    streams: int = Field(default=10_000, ge=1)
    """Streams open at a time, of events and of content."""
    changes: int = Field(default=1_000, ge=1)
    """Calls that wait for a change of the mail server at a time."""


class Config(BaseSettings):
    """All settings of `mailsync serve`."""

    model_config = SettingsConfigDict(
        env_prefix="MAILSYNC_", env_nested_delimiter="__", extra="forbid", frozen=True, env_ignore_empty=True
    )

    data_dir: Path = Path("mailsync-data")
    """Directory of the store, the content cache and the master key; made when missing."""
    listen: str = "127.0.0.1:50051"
    """`HOST:PORT`, `[IPv6]:PORT` or `unix:/path` of the gRPC port."""
    metrics: str = "127.0.0.1:9464"
    """`HOST:PORT` of /metrics, or `off`."""
    workers: int = Field(default=1, ge=1, le=64)
    """Sync worker processes."""
    worker_threads: int = Field(default=32, ge=1, le=1024)
    """I/O threads of each worker."""
    token: Annotated[SecretStr, AfterValidator(_sendable)] | None = None
    """A bearer token that may do everything, beside those that `mailsync token create` makes."""
    master_key: SecretStr | None = None
    """32 bytes in base64; without it a key file in the data directory is made at first start."""
    master_key_file: Path | None = None
    log_level: str = Field(default="info", pattern="^(debug|info|warning|error)$")
    log_format: str = Field(default="console", pattern="^(console|json)$")
    audit_file: Path | None = None
    """File of JSON lines, one for each call that manages the server or changes mail; made with mode 0600."""
    imap: ImapConfig = ImapConfig()
    oauth: OAuthConfig = OAuthConfig()
    secrets: SecretsConfig = SecretsConfig()
    discovery: DiscoveryConfig = DiscoveryConfig()
    tls: TlsConfig = TlsConfig()
    store: StoreConfig = StoreConfig()
    content: ContentConfig = ContentConfig()
    append: AppendConfig = AppendConfig()
    watch: WatchConfig = WatchConfig()
    quota: QuotaConfig = QuotaConfig()

    @model_validator(mode="after")
    def _addresses(self) -> Self:
        split_address("listen", self.listen)
        if self.metrics != "off":
            split_address("metrics", self.metrics)
        return self

    @model_validator(mode="after")
    def _exposed_only_with_tls(self) -> Self:
        if self.tls.cert_file is None and not is_local(self.listen):
            raise ValueError(
                f"listen={self.listen} is reachable from other machines, which needs tls.cert_file and tls.key_file"
                " (MAILSYNC_TLS__CERT_FILE, MAILSYNC_TLS__KEY_FILE); set them or listen on a loopback address or"
                " unix:/path"
            )
        return self


def split_address(setting: str, address: str) -> tuple[str, int]:
    """Return host and port of `HOST:PORT` or `[IPv6]:PORT`; a Unix socket's path and port 0.

    Raises ValueError naming `setting` for anything else.
    """
    if address.startswith("unix:"):
        return address, 0
    host, colon, port = address.rpartition(":")
    if not colon or not host or not port.isdigit() or int(port) > 65_535:
        raise ValueError(f"{setting}={address!r}: expected HOST:PORT, [IPv6]:PORT or unix:/path")
    return host.strip("[]"), int(port)


def is_local(address: str) -> bool:
    """Whether only this machine can reach `address`: loopback or a Unix socket."""
    host, _ = split_address("listen", address)
    return host.startswith("unix:") or is_local_host(host)


def is_local_host(host: str) -> bool:
    """Whether a host is this machine by its loopback name or address."""
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def load(file: Path | None = None, options: Mapping[str, Any] | None = None) -> Config:
    """Return the settings of `file`, overridden by the environment, overridden by `options` that are not None.

    Raises ConfigError for an unreadable file and for every wrong or unknown setting, all named in one message.
    """
    if file is not None and not file.is_file():
        raise ConfigError(f"configuration file {file} does not exist")

    class Loaded(Config):
        @classmethod
        def settings_customise_sources(
            cls,
            settings_cls: type[BaseSettings],
            init_settings: PydanticBaseSettingsSource,
            env_settings: PydanticBaseSettingsSource,
            dotenv_settings: PydanticBaseSettingsSource,
            file_secret_settings: PydanticBaseSettingsSource,
        ) -> tuple[PydanticBaseSettingsSource, ...]:
            # Secrets come from the environment or from a file that is named, so these sources are left out.
            del dotenv_settings, file_secret_settings
            return (init_settings, env_settings, TomlConfigSettingsSource(settings_cls, file))

    try:
        loaded = Loaded(**{key: value for key, value in (options or {}).items() if value is not None})
        # Settings cross to spawned workers, and an instance of a class made here could not be pickled.
        return Config.model_construct(**dict(loaded))
    except ValidationError as error:
        raise ConfigError(_explain(error)) from None
    except (OSError, tomllib.TOMLDecodeError, UnicodeDecodeError, SettingsError) as error:
        raise ConfigError(f"configuration: {error}") from None


def _explain(error: ValidationError) -> str:
    lines = []
    for fault in error.errors(include_url=False, include_input=False):
        setting = ".".join(str(part) for part in fault["loc"])
        unknown = fault["type"] == "extra_forbidden"
        message = "no such setting" if unknown else fault["msg"].removeprefix("Value error, ")
        lines.append(f"{setting}: {message}" if setting else message)
    return "\n".join(lines)
