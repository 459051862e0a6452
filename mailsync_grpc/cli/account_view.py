"""Accounts as people see them: a table of many, the details of one."""

from collections.abc import Iterable, Iterator
from datetime import datetime

from rich.table import Table
from rich.text import Text

from mailsync_grpc.cli.terminal import ago, moment, plain, span, word
from mailsync_grpc.cli.window_text import window_text
from mailsync_grpc.v1.account_pb2 import (
    Account,
    AccountNotice,
    AccountState,
    AuthKind,
    ImapSecurity,
    SyncMode,
)

_STYLE = {
    AccountState.ACCOUNT_STATE_ACTIVE: "green",
    AccountState.ACCOUNT_STATE_PAUSED: "yellow",
    AccountState.ACCOUNT_STATE_DELETING: "dim",
}


def account_table(accounts: Iterable[Account], now: datetime) -> Table:
    """One row an account: id, user, mail server, state and since when."""
    table = Table("Account", "User", "Mail server", "State", "Since", box=None, header_style="dim")
    for account in accounts:
        table.add_row(
            plain(account.name.removeprefix("accounts/"), "bold"),
            plain(account.username),
            plain(f"{account.imap.host}:{account.imap.port}"),
            state_text(account),
            ago(account.state_since, now),
        )
    return table


def account_details(account: Account) -> Table:
    """Everything of one account that is set, a line each."""
    table = Table.grid(padding=(0, 3))
    table.add_column(style="dim")
    for label, value in _details(account):
        if value:
            table.add_row(label, plain(value) if isinstance(value, str) else value)
    return table


def state_text(account: Account) -> Text:
    """The state in its colour, with its reason when all is not well."""
    text = Text(
        word(AccountState.Name(account.state), "ACCOUNT_STATE_"), style=_STYLE.get(account.state, "bold red")
    )
    return text + plain(f"  {account.state_message}", "dim") if account.state_message else text


def _details(account: Account) -> Iterator[tuple[str, str | Text]]:
    security = word(ImapSecurity.Name(account.imap.security), "IMAP_SECURITY_").replace("_", " ")
    yield "account", account.name
    yield "name", account.display_name
    yield "address", account.email_address
    yield "mail server", f"{account.imap.host}:{account.imap.port} ({security})"
    yield "proxy", account.imap.proxy_url
    yield "user", account.username
    yield "login", word(AuthKind.Name(account.auth_kind), "AUTH_KIND_").replace("_", " ")
    yield "state", state_text(account)
    yield "since", moment(account.state_since)
    yield "poll", _every(account, "poll_interval")
    yield "full compare", _every(account, "full_interval")
    yield "mode", word(SyncMode.Name(account.sync.mode), "SYNC_MODE_")
    yield "window", window_text(account.sync.window)
    yield "labels", ", ".join(f"{key}={value}" for key, value in sorted(account.labels.items()))
    yield (
        "notices",
        ", ".join(word(AccountNotice.Name(notice), "ACCOUNT_NOTICE_") for notice in account.notices),
    )
    yield "capabilities", " ".join(account.capabilities)
    yield "created", moment(account.create_time)


def _every(account: Account, field: str) -> str:
    if not account.sync.HasField(field):  # type: ignore[arg-type]
        return ""
    return f"every {span(getattr(account.sync, field).ToTimedelta())}"
