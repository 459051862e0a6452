"""The contract's shape, held against the descriptors of the generated stubs.

Stored envelopes and events are serialized messages that responses are joined from, so a field number is part of the
store's format as well: the golden lists here change only together with a migration.
"""

import re
from enum import IntEnum

import pytest
from google.api import field_behavior_pb2
from google.protobuf.descriptor import (
    Descriptor,
    EnumDescriptor,
    FieldDescriptor,
    FileDescriptor,
    MethodDescriptor,
    ServiceDescriptor,
)

from mailsync_grpc import errors
from mailsync_grpc.model.account import AccountState, Security
from mailsync_grpc.model.changes import EventKind, FolderChangeKind
from mailsync_grpc.model.envelope import PartialReason
from mailsync_grpc.model.run import RunKind, RunState
from mailsync_grpc.v1 import (
    account_pb2,
    account_service_pb2,
    content_service_pb2,
    envelope_pb2,
    envelope_service_pb2,
    errors_pb2,
    event_pb2,
    event_service_pb2,
    folder_pb2,
    folder_service_pb2,
    sync_run_pb2,
    system_service_pb2,
)

FILES: tuple[FileDescriptor, ...] = (
    account_pb2.DESCRIPTOR,
    account_service_pb2.DESCRIPTOR,
    content_service_pb2.DESCRIPTOR,
    envelope_pb2.DESCRIPTOR,
    envelope_service_pb2.DESCRIPTOR,
    errors_pb2.DESCRIPTOR,
    event_pb2.DESCRIPTOR,
    event_service_pb2.DESCRIPTOR,
    folder_pb2.DESCRIPTOR,
    folder_service_pb2.DESCRIPTOR,
    sync_run_pb2.DESCRIPTOR,
    system_service_pb2.DESCRIPTOR,
)

SERVICES = {
    "AccountService": """
        CreateAccount GetAccount ListAccounts UpdateAccount DeleteAccount PauseAccount ResumeAccount
        BeginAuthorization CompleteAuthorization DiscoverSettings StartSync GetSyncRun ListSyncRuns CancelSyncRun""",
    "FolderService": """
        ListFolders GetFolder UpdateFolder SelectFolders CreateFolder RenameFolder DeleteFolder Subscribe
        Unsubscribe""",
    "EnvelopeService": """
        GetEnvelope ListEnvelopes ExportEnvelopes ListThreads ModifyFlags MoveEnvelopes CopyEnvelopes DeleteEnvelopes
        AppendMessage""",
    "ContentService": "DownloadContent",
    "EventService": "WatchEvents GetEventLog",
    "SystemService": "GetServerInfo GetStats CreateToken ListTokens RevokeToken PurgeContentCache",
}
SERVER_STREAMS = {"ExportEnvelopes", "DownloadContent", "WatchEvents"}
CLIENT_STREAMS = {"AppendMessage"}
# The header of this stream of pieces carries the request_id.
REQUEST_ID_HOLDER = {"AppendMessageRequest": "AppendHeader"}

ENVELOPE_SEGMENTS = {
    "identity": {"name": 1, "uid": 2, "uid_validity": 3, "envelope_id": 4, "thread_id": 5},
    "flags": {"flags": 6},
    "basic": {
        "internal_date": 10,
        "size": 11,
        "subject": 12,
        "from": 13,
        "sender": 14,
        "reply_to": 15,
        "to": 16,
        "cc": 17,
        "bcc": 18,
        "message_id": 19,
        "in_reply_to": 20,
        "header_date": 21,
        "header_date_raw": 22,
        "email_id": 23,
        "has_attachment": 24,
    },
    "detail": {
        "references": 30,
        "body_meta": 31,
        "attachments": 32,
        "report": 33,
        "partial": 34,
        "truncated": 35,
    },
}

FILE_OPTIONS = {
    "go_package": "mailsync/gen/mailsync/v1;mailsyncv1",
    "java_package": "dev.mailsync.v1",
    "java_multiple_files": True,
    "csharp_namespace": "Mailsync.V1",
}

SECRETS = {
    "PasswordAuth": {"password"},
    "OAuthAuth": {"refresh_token", "client_secret", "access_token", "authorization"},
    "TlsSettings": {"client_key_pem"},
    "ImapEndpoint": {"proxy_url"},
    "CompleteAuthorizationRequest": {"code"},
    "CompleteAuthorizationResponse": {"authorization"},
    "CreateTokenResponse": {"secret"},
}


def services() -> dict[str, ServiceDescriptor]:
    return {name: service for file in FILES for name, service in file.services_by_name.items()}


def methods() -> list[MethodDescriptor]:
    return [method for service in services().values() for method in service.methods]


def messages() -> dict[str, Descriptor]:
    return {name: message for file in FILES for name, message in file.message_types_by_name.items()}


def enums() -> list[EnumDescriptor]:
    top = [enum for file in FILES for enum in file.enum_types_by_name.values()]
    nested = [enum for message in messages().values() for enum in message.enum_types]
    return top + nested


def numbers(message: Descriptor) -> dict[str, int]:
    return {field.name: field.number for field in message.fields}


def prefix(enum: EnumDescriptor) -> str:
    return re.sub(r"(?<!^)(?=[A-Z])", "_", enum.name).upper() + "_"


def reads(method: MethodDescriptor) -> bool:
    return method.name.startswith(("Get", "List", "Export"))


def changes(method: MethodDescriptor) -> bool:
    return not reads(method) and not method.name.startswith(("Watch", "Download", "Discover"))


def test_services_have_exactly_the_calls_of_the_contract() -> None:
    found = {name: [method.name for method in service.methods] for name, service in services().items()}
    assert found == {name: calls.split() for name, calls in SERVICES.items()}


def test_calls_stream_in_the_direction_the_contract_says() -> None:
    assert {method.name for method in methods() if method.server_streaming} == SERVER_STREAMS
    assert {method.name for method in methods() if method.client_streaming} == CLIENT_STREAMS


@pytest.mark.parametrize("method", methods(), ids=lambda method: method.name)
def test_each_call_has_a_request_and_a_response_of_its_own_name(method: MethodDescriptor) -> None:
    assert method.input_type.name == f"{method.name}Request"
    assert method.output_type.name == f"{method.name}Response"


@pytest.mark.parametrize(
    "method", [method for method in methods() if reads(method)], ids=lambda method: method.name
)
def test_each_read_says_at_which_revision_it_was_made(method: MethodDescriptor) -> None:
    field = method.output_type.fields_by_name["read_revision"]
    assert field.type == FieldDescriptor.TYPE_UINT64


@pytest.mark.parametrize(
    "method", [method for method in methods() if changes(method)], ids=lambda method: method.name
)
def test_each_change_takes_a_request_id(method: MethodDescriptor) -> None:
    request = method.input_type
    holder = messages()[REQUEST_ID_HOLDER.get(request.name, request.name)]
    assert holder.fields_by_name["request_id"].type == FieldDescriptor.TYPE_STRING


def test_field_masks_occur_in_updates_only() -> None:
    masked = {
        message.name
        for message in messages().values()
        for field in message.fields
        if field.message_type is not None and field.message_type.full_name == "google.protobuf.FieldMask"
    }
    assert masked == {"UpdateAccountRequest", "UpdateFolderRequest"}


@pytest.mark.parametrize("enum", enums(), ids=lambda enum: enum.name)
def test_zero_of_each_enum_is_unspecified(enum: EnumDescriptor) -> None:
    assert enum.values_by_number[0].name == f"{prefix(enum)}UNSPECIFIED"


def test_each_envelope_field_keeps_its_number_and_its_segment() -> None:
    golden = {name: number for segment in ENVELOPE_SEGMENTS.values() for name, number in segment.items()}
    assert numbers(envelope_pb2.Envelope.DESCRIPTOR) == golden


def test_flags_keep_their_numbers() -> None:
    golden = {"seen": 1, "answered": 2, "flagged": 3, "deleted": 4, "draft": 5, "keywords": 6, "labels": 7}
    assert numbers(envelope_pb2.Flags.DESCRIPTOR) == golden


def test_event_types_are_numbered_as_their_payloads() -> None:
    payloads = event_pb2.Event.DESCRIPTOR.oneofs_by_name["payload"].fields
    types = event_pb2.EventType.DESCRIPTOR.values_by_number
    expected = {field.number: f"EVENT_TYPE_{field.name.upper()}" for field in payloads}
    assert {number: value.name for number, value in types.items() if number} == expected


def test_watch_and_event_log_lay_out_events_and_coverage_alike() -> None:
    golden = {"events": 1, "from_revision": 2, "through_revision": 3, "partition": 4, "resume_token": 5}
    for message in (event_service_pb2.WatchEventsResponse, event_service_pb2.GetEventLogResponse):
        assert numbers(message.DESCRIPTOR).items() >= golden.items()


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name.rpartition("/")[2])
def test_each_file_names_its_package_in_every_language(file: FileDescriptor) -> None:
    assert file.package == "mailsync.v1"
    options = file.GetOptions()
    assert {name: getattr(options, name) for name in FILE_OPTIONS} == FILE_OPTIONS


def test_fields_that_hold_secrets_are_marked_for_redaction() -> None:
    for name, secrets in SECRETS.items():
        fields = messages()[name].fields_by_name
        assert {secret for secret in secrets if fields[secret].GetOptions().debug_redact} == secrets


def test_credentials_of_an_account_are_input_only() -> None:
    options = account_pb2.Account.DESCRIPTOR.fields_by_name["auth"].GetOptions()
    assert field_behavior_pb2.INPUT_ONLY in options.Extensions[field_behavior_pb2.field_behavior]


@pytest.mark.parametrize(
    ("model", "enum"),
    [
        (AccountState, account_pb2.AccountState.DESCRIPTOR),
        (Security, account_pb2.ImapSecurity.DESCRIPTOR),
        (EventKind, event_pb2.EventType.DESCRIPTOR),
        (FolderChangeKind, event_pb2.FolderChange.DESCRIPTOR),
        (PartialReason, envelope_pb2.PartialReason.DESCRIPTOR),
        (RunKind, sync_run_pb2.SyncRunKind.DESCRIPTOR),
        (RunState, sync_run_pb2.SyncRunState.DESCRIPTOR),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_values_of_the_model_are_those_of_the_contract(model: type[IntEnum], enum: EnumDescriptor) -> None:
    names = {value.number: value.name for value in enum.values}
    assert {member.value: prefix(enum) + member.name for member in model}.items() <= names.items()


def test_each_error_of_the_tree_has_its_reason_in_the_contract() -> None:
    classes = [value for value in vars(errors).values() if isinstance(value, type)]
    reasons = {cls.reason for cls in classes if issubclass(cls, errors.MailsyncError)}
    names = {value.name.removeprefix("ERROR_REASON_") for value in errors_pb2.ErrorReason.DESCRIPTOR.values}
    assert len(reasons) > 1
    assert reasons <= names
