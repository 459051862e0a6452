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

Network = IPv4Network | IPv6Network


def _networks(value: object) -> object:
    """Accept a JSON list or comma-separated CIDRs, as an environment variable carries them."""
    if not isinstance(value, str):
        return value
    return [part.strip().strip("\"'") for part in value.strip().strip("[]").split(",") if part.strip()]


def _sendable(token: SecretStr) -> SecretStr:
    """Refuse a token that no caller's header could carry as it is, such as one read from a file with its line end."""
    text = token.get_secret_value()
    if not (text and text.isascii() and text.isprintable() and " " not in text):
        raise ValueError("printable ASCII characters without blanks, at least one")
    return token


def _each_network(value: object) -> object:
    parts = _networks(value)
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
    connect_timeout: float = Field(default=15.0, gt=0, le=300)
    """Seconds to connect and to finish TLS."""
    command_timeout: float = Field(default=120.0, gt=0, le=3600)
    """Seconds that one command may take from its first to its last octet."""
    limits: dict[str, HostLimits] = Field(default_factory=dict)
    """Limits by domain (`gmail.com` holds for `imap.gmail.com`), `*` for every domain that is not named."""


class TlsConfig(_Section):
    """Certificate and key of the gRPC port; PEM files."""

    cert_file: Path | None = None
    key_file: Path | None = None

    @model_validator(mode="after")
    def _both_or_none(self) -> Self:
        if (self.cert_file is None) != (self.key_file is None):
            raise ValueError("tls.cert_file and tls.key_file go together: set both or none")
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
    """Bearer token that callers must send."""
    master_key: SecretStr | None = None
    """32 bytes in base64; without it a key file in the data directory is made at first start."""
    master_key_file: Path | None = None
    log_level: str = Field(default="info", pattern="^(debug|info|warning|error)$")
    log_format: str = Field(default="console", pattern="^(console|json)$")
    imap: ImapConfig = ImapConfig()
    tls: TlsConfig = TlsConfig()
    store: StoreConfig = StoreConfig()
    content: ContentConfig = ContentConfig()
    append: AppendConfig = AppendConfig()
    watch: WatchConfig = WatchConfig()

    @model_validator(mode="after")
    def _addresses(self) -> Self:
        split_address("listen", self.listen)
        if self.metrics != "off":
            split_address("metrics", self.metrics)
        return self

    @model_validator(mode="after")
    def _exposed_only_with_tls_and_token(self) -> Self:
        missing = [
            name
            for name, value in (
                (
                    "tls.cert_file and tls.key_file (MAILSYNC_TLS__CERT_FILE, MAILSYNC_TLS__KEY_FILE)",
                    self.tls.cert_file,
                ),
                ("token (MAILSYNC_TOKEN)", self.token),
            )
            if not value
        ]
        if missing and not is_local(self.listen):
            raise ValueError(
                f"listen={self.listen} is reachable from other machines, which needs {' and '.join(missing)};"
                " set them or listen on a loopback address or unix:/path"
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
    if host.startswith("unix:") or host == "localhost":
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
