"""`mailsync account …`: register mail accounts, look at them, change, pause, sync and remove them."""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Annotated

import typer

from mailsync_grpc.cli.account_auth import (
    AuthOptions,
    OAuthOption,
    PasteOption,
    ProviderOption,
    RedirectOption,
    SecretRefOption,
    read_auth,
    redirect_of,
)
from mailsync_grpc.cli.account_options import (
    EmailOption,
    FullOption,
    LabelOption,
    ModeOption,
    NameOption,
    PollOption,
    WindowOption,
    describe,
    labels_of,
)
from mailsync_grpc.cli.account_view import account_details, account_table
from mailsync_grpc.cli.command import connected
from mailsync_grpc.cli.consent import PASTED_REDIRECT, Wanted, consent
from mailsync_grpc.cli.discovery import choose, discover
from mailsync_grpc.cli.failures import CommandError
from mailsync_grpc.cli.folder_view import folder_tree
from mailsync_grpc.cli.names import account_resource, resolve_folders
from mailsync_grpc.cli.progress import follow_sync_run
from mailsync_grpc.cli.session import Session
from mailsync_grpc.cli.terminal import plain, plural
from mailsync_grpc.cli.way_options import (
    SECURITIES,
    CaFileOption,
    ClientCertOption,
    ClientKeyOption,
    ProxyOption,
    Security,
    describe_way,
    pem_text,
)
from mailsync_grpc.v1 import account_service_pb2 as service
from mailsync_grpc.v1.account_pb2 import Account, AuthKind, ImapEndpoint

# The service logs in before it answers, with its own time-outs toward the mail server.
_LOGIN_SECONDS = 180.0

app = typer.Typer(help="Mail accounts that are kept in step.", no_args_is_help=True)


AccountArgument = Annotated[
    str, typer.Argument(metavar="ACCOUNT", help="Its id, such as work.", show_default=False)
]
StdinOption = Annotated[bool, typer.Option("--password-stdin", help="Read the password from standard input.")]
IdOption = Annotated[
    str,
    typer.Option("--id", help="Id of the account, such as work; made up when left out.", show_default=False),
]
TryOption = Annotated[bool, typer.Option("--try", help="Only log in and list folders; keep nothing.")]


@app.command("add")
@connected
def add(
    session: Session,
    host: Annotated[
        str, typer.Option(help="Mail server; found by --email when left out.", show_default=False)
    ] = "",
    username: Annotated[
        str, typer.Option(help="Login name; that of the settings found, or --email.", show_default=False)
    ] = "",
    account_id: IdOption = "",
    port: Annotated[int, typer.Option(min=0, max=65_535, help="With --host. 0: 993 for TLS, 143 else.")] = 0,
    security: Annotated[
        Security, typer.Option(help="With --host. Plaintext needs the operator's leave.")
    ] = Security.TLS,
    ca_file: CaFileOption = None,
    client_cert_file: ClientCertOption = None,
    client_key_file: ClientKeyOption = None,
    proxy_url: ProxyOption = None,
    name: NameOption = None,
    email: EmailOption = None,
    label: LabelOption = [],  # noqa: B006  typer copies it
    poll_interval: PollOption = None,
    full_interval: FullOption = None,
    window: WindowOption = None,
    mode: ModeOption = None,
    password_stdin: StdinOption = False,
    provider: ProviderOption = "",
    oauth: OAuthOption = None,
    secret_ref: SecretRefOption = "",
    paste: PasteOption = False,
    redirect_uri: RedirectOption = PASTED_REDIRECT,
    try_only: TryOption = False,
    wait: Annotated[bool, typer.Option(help="Show the first sync until it is done.")] = True,
) -> None:
    """Register a mail account and sync it.

    The password comes from a prompt, --password-stdin or MAILSYNC_IMAP_PASSWORD; --provider, --oauth or --secret-ref
    stand in its place. A proxy's, where its URL has a user, comes from a prompt or MAILSYNC_PROXY_PASSWORD.
    """
    account = Account(imap=ImapEndpoint(host=host, port=port, security=SECURITIES[security]))
    login = username or email or ""
    if not host:
        kind = AuthKind.AUTH_KIND_OAUTH if provider or oauth else AuthKind.AUTH_KIND_PASSWORD
        chosen = choose(session, email, kind)
        account.imap.CopyFrom(chosen.imap)
        login = username or chosen.username
    if ca_file is not None:
        account.imap.tls.ca_pem = pem_text(ca_file)
    describe_way(account.imap, proxy_url, client_cert_file, client_key_file)
    describe(account, name, email, label, poll_interval, full_interval, window, mode)
    options = AuthOptions(password_stdin, provider, oauth, secret_ref, paste, redirect_uri)
    account.auth.CopyFrom(read_auth(session, login, options))
    request = service.CreateAccountRequest(account=account, account_id=account_id, validate_only=try_only)
    created = session.call(session.accounts.CreateAccount, request, _LOGIN_SECONDS)
    _show_created(session, created, follow=wait and not try_only)


app.command("discover")(connected(discover))


@app.command("list")
@connected
def list_accounts(
    session: Session,
    label: LabelOption = [],  # noqa: B006  typer copies it
) -> None:
    """List the accounts and how they are."""
    accounts = list(all_accounts(session, labels_of(label)))
    if session.json:
        for account in accounts:
            session.print_json(account)
    elif accounts:
        session.out.print(account_table(accounts, datetime.now(UTC)))
    else:
        session.beside.print("no accounts yet; add one with `mailsync account add`")


@app.command("show")
@connected
def show(session: Session, account: AccountArgument) -> None:
    """Show everything of an account but its secrets."""
    request = service.GetAccountRequest(name=account_resource(account))
    _show(session, session.call(session.accounts.GetAccount, request).account)


@app.command("update")
@connected
def update(
    session: Session,
    account: AccountArgument,
    name: NameOption = None,
    email: EmailOption = None,
    label: LabelOption = [],  # noqa: B006  typer copies it
    poll_interval: PollOption = None,
    full_interval: FullOption = None,
    window: WindowOption = None,
    mode: ModeOption = None,
    username: Annotated[
        str | None, typer.Option(help="Login name, with new credentials.", show_default=False)
    ] = None,
    password: Annotated[bool, typer.Option("--password", help="Ask for a new password.")] = False,
    password_stdin: StdinOption = False,
    client_cert_file: ClientCertOption = None,
    client_key_file: ClientKeyOption = None,
    proxy_url: ProxyOption = None,
    oauth: OAuthOption = None,
    secret_ref: SecretRefOption = "",
) -> None:
    """Change what people edit of an account: only what is given.

    Another proxy needs the password again (--password).
    """
    request = service.UpdateAccountRequest(account=Account(name=account_resource(account)))
    mask = describe(request.account, name, email, label, poll_interval, full_interval, window, mode)
    mask += describe_way(request.account.imap, proxy_url, client_cert_file, client_key_file)
    options = AuthOptions(password_stdin, oauth=oauth, secret_ref=secret_ref)
    if username or password or password_stdin or options.given:
        login = username or _login_name(session, request.account.name)
        request.account.auth.CopyFrom(read_auth(session, login, options))
        mask.append("auth")
    if not mask:
        raise CommandError("nothing to change; `mailsync account update --help` shows what can be")
    request.update_mask.paths.extend(mask)
    _show(session, session.call(session.accounts.UpdateAccount, request, _LOGIN_SECONDS).account)


@app.command("authorize")
@connected
def authorize(
    session: Session,
    account: AccountArgument,
    provider: Annotated[
        str, typer.Option(help="A provider of the service's configuration.", show_default=False)
    ],
    paste: PasteOption = False,
    redirect_uri: RedirectOption = PASTED_REDIRECT,
) -> None:
    """Let an account log in by a consent at a provider; it goes on at once."""
    name = account_resource(account)
    redirect = redirect_of(AuthOptions(paste=paste, redirect_uri=redirect_uri))
    wanted = Wanted(provider, name, _login_name(session, name), redirect)
    _show(session, consent(session, wanted).account)


@app.command("pause")
@connected
def pause(session: Session, account: AccountArgument) -> None:
    """Stop polling an account; what is stored stays readable."""
    request = service.PauseAccountRequest(name=account_resource(account))
    _show(session, session.call(session.accounts.PauseAccount, request).account)


@app.command("resume")
@connected
def resume(session: Session, account: AccountArgument) -> None:
    """Poll a paused account again, and try one that failed at once."""
    request = service.ResumeAccountRequest(name=account_resource(account))
    _show(session, session.call(session.accounts.ResumeAccount, request).account)


@app.command("remove")
@connected
def remove(
    session: Session,
    account: AccountArgument,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
) -> None:
    """Remove an account and every trace of it here. Nothing on the mail server is touched."""
    name = account_resource(account)
    if not yes:
        typer.confirm(f"Remove {name} with all that is stored of it?", abort=True, err=True)
    session.call(session.accounts.DeleteAccount, service.DeleteAccountRequest(name=name))
    if not session.json:
        session.out.print(f"removed {name}")


@app.command("sync")
@connected
def sync(
    session: Session,
    account: AccountArgument,
    folder: Annotated[
        list[str], typer.Option("--folder", help="Only this path; may be repeated.", show_default=False)
    ] = [],  # noqa: B006  typer copies it
    full: Annotated[bool, typer.Option(help="Compare every message.")] = False,
    wait: Annotated[bool, typer.Option(help="Show it until it is done.")] = True,
) -> None:
    """Sync an account now."""
    name = account_resource(account)
    folders = resolve_folders(session, name, folder) if folder else []
    request = service.StartSyncRequest(name=name, folders=folders, full=full)
    run = session.call(session.accounts.StartSync, request).sync_run
    if wait:
        run = follow_sync_run(session, run.name, "Sync")
    if session.json:
        session.print_json(run)
    elif not wait:
        session.out.print(run.name)


def all_accounts(session: Session, labels: dict[str, str] | None = None) -> Iterator[Account]:
    """Every account the caller may see, ordered by name."""
    request = service.ListAccountsRequest(labels=labels or {})
    while True:
        page = session.call(session.accounts.ListAccounts, request)
        yield from page.accounts
        if not page.next_page_token:
            return
        request.page_token = page.next_page_token


def _login_name(session: Session, name: str) -> str:
    return session.call(session.accounts.GetAccount, service.GetAccountRequest(name=name)).account.username


def _show(session: Session, account: Account) -> None:
    if session.json:
        session.print_json(account)
    else:
        session.out.print(account_details(account))


def _show_created(session: Session, created: service.CreateAccountResponse, *, follow: bool) -> None:
    if follow and created.sync_run:
        if not session.json:
            session.out.print(plain(f"added {created.account.name}"))
        follow_sync_run(session, created.sync_run, "First sync")
    if session.json:
        session.print_json(created)
    elif created.folders:
        session.out.print(f"login works; {plural(len(created.folders), 'folder')}, nothing kept")
        session.out.print(folder_tree("folders", created.folders))
    elif not follow:
        session.out.print(plain(f"added {created.account.name}"))
