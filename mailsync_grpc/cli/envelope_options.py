"""Which messages: the options of `mailsync envelopes` that narrow a list, and the filter they make.

``narrowed`` adds the options to a command's own, as ``filter_options.filtered`` does for events.
"""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Annotated, Any, Concatenate, ParamSpec

import typer

from mailsync_grpc.cli.command import with_options
from mailsync_grpc.cli.envelope_change import flags_of
from mailsync_grpc.cli.session import Session
from mailsync_grpc.cli.times import past
from mailsync_grpc.v1.envelope_service_pb2 import EnvelopeFilter

_PANEL = "Which messages"


def _option(*names: str, metavar: str | None = None, about: str) -> Any:
    return typer.Option(*names, metavar=metavar, help=about, rich_help_panel=_PANEL, show_default=False)


UnseenOption = Annotated[bool, _option("--unseen", about="Only without the flag seen.")]
FlagOption = Annotated[
    list[str],
    _option(
        "--flag",
        metavar="FLAG",
        about="Only with it: seen, answered, flagged, deleted, draft, or a keyword; may be repeated.",
    ),
]
NoFlagOption = Annotated[
    list[str], _option("--no-flag", metavar="FLAG", about="Only without it; may be repeated.")
]
FromOption = Annotated[
    str, _option("--from", metavar="TEXT", about="Only where a name or address of an author contains it.")
]
ToOption = Annotated[
    str, _option("--to", metavar="TEXT", about="Only where a name or address in To, Cc or Bcc contains it.")
]
SubjectOption = Annotated[
    str, _option("--subject", metavar="TEXT", about="Only where the subject contains it.")
]
SinceOption = Annotated[
    str | None,
    _option("--since", metavar="TIME", about="Only received then or later: 2026-01-31, 2h, 7d."),
]
BeforeOption = Annotated[
    str | None, _option("--before", metavar="TIME", about="Only received earlier than that.")
]
AttachmentOption = Annotated[
    bool | None,
    _option("--has-attachment/--no-attachment", about="Only with an attachment, or only without."),
]
ThreadOption = Annotated[str, _option("--thread", metavar="ID", about="Only of this conversation.")]
MessageIdOption = Annotated[str, _option("--message-id", metavar="ID", about="Only with this Message-ID.")]
TextOption = Annotated[
    str,
    _option(
        "--text", metavar="WORDS", about="Only where subject, names or addresses contain every one of them."
    ),
]

Own = ParamSpec("Own")


def narrowed(
    command: Callable[Concatenate[Session, EnvelopeFilter, Own], None],
) -> Callable[Concatenate[Session, ...], None]:
    """A command for `connected` made of one whose second parameter is an EnvelopeFilter."""

    def run(
        session: Session,
        unseen: UnseenOption = False,
        flag: FlagOption = [],  # noqa: B006  typer copies it
        no_flag: NoFlagOption = [],  # noqa: B006  typer copies it
        from_: FromOption = "",
        to: ToOption = "",
        subject: SubjectOption = "",
        since: SinceOption = None,
        before: BeforeOption = None,
        attachment: AttachmentOption = None,
        thread: ThreadOption = "",
        message_id: MessageIdOption = "",
        text: TextOption = "",
        **own: Any,
    ) -> None:
        unset = ["seen"] if unseen else []
        filter_ = EnvelopeFilter(
            flags_set=flags_of(flag) if flag else None,
            flags_unset=flags_of([*no_flag, *unset]) if no_flag or unset else None,
            from_contains=from_,
            to_contains=to,
            subject_contains=subject,
            has_attachment=attachment,
            thread_id=thread,
            message_id=message_id,
            text=text,
        )
        _set_times(filter_, since, before)
        # typer hands over exactly the parameters of the signature that `with_options` makes.
        command(session, filter_, **own)  # type: ignore[call-arg]

    return with_options(run, command, before=1)


def _set_times(filter_: EnvelopeFilter, since: str | None, before: str | None) -> None:
    now = datetime.now(UTC)
    if since is not None:
        filter_.since.FromDatetime(past("--since", since, now))
    if before is not None:
        filter_.before.FromDatetime(past("--before", before, now))
