r"""One IMAP connection to `HeldMail`, without a socket: a command in, an honest `Reply` out (RFC 3501).

It speaks what the engine sends and nothing else; everything else is BAD. The session sees the folder as it was when it
was opened, and says at the end of each command what changed since, so sequence numbers are those it told.
"""

import base64
import re
from collections.abc import Callable
from dataclasses import replace
from datetime import date, datetime
from imaplib import Time2Internaldate

from imapclient import imap_utf7

from tests.support import hostile_message
from tests.support.hostile_faults import After, Reply
from tests.support.hostile_labels import change
from tests.support.hostile_store import HeldFolder, HeldMail, HeldMessage

PLAIN = "IMAP4rev1"
CONDSTORE = (
    "IMAP4rev1 AUTH=PLAIN ID ENABLE NAMESPACE CONDSTORE ESEARCH UNSELECT SPECIAL-USE LIST-EXTENDED LITERAL+"
)
FULL = CONDSTORE + " QRESYNC"
OBJECT_IDS = FULL + " OBJECTID"
GMAIL_ONLY = "X-GM-EXT-1"
GMAIL = f"{CONDSTORE} {GMAIL_ONLY}"
BAD = Reply(completion=b"BAD not understood")
ABSENT = Reply(completion=b"NO [NONEXISTENT] no such folder")
_ITEM = re.compile(r"BODY\.PEEK\[[^\]]*\](?:<\d+\.\d+>)?|[A-Z0-9.-]+")
_FETCH = re.compile(r"(\S+) \(([^)]*(?:\([^)]*\)[^)]*)*)\)(?: \(CHANGEDSINCE (\d+)( VANISHED)?\))?")
_SECTION = re.compile(r"BODY\.PEEK\[(HEADER|TEXT|[\d.]*)\]<(\d+)\.(\d+)>")
_BEARER_USER = re.compile(r"(?:^user|^n,a)=([^\x01,]*)")
_BEARER_TOKEN = re.compile(r"\x01auth=Bearer ([^\x01]*)\x01\x01$")
_QUOTED = re.compile(r'"((?:[^"\\]|\\.)*)"')
_STORE = re.compile(r"(\S+) (?:\(UNCHANGEDSINCE (\d+)\) )?([+-])(FLAGS\.SILENT|X-GM-LABELS) \((.*)\)")


class Session:
    """A connection of `user`; `capabilities` are what it announces before and after the login."""

    def __init__(self, mail: HeldMail, user: str, password: str, capabilities: str = FULL) -> None:
        self._mail = mail
        self._secret = (user, password)
        self._capabilities = capabilities
        self._logged_in = False
        self._enabled: frozenset[str] = frozenset()
        self._folder: HeldFolder | None = None
        self._writable = False
        self._view: list[int] = []
        self._commands: dict[str, Callable[[str], Reply]] = {
            "CAPABILITY": lambda _: Reply((b"* CAPABILITY " + self._capabilities.encode(),)),
            "NOOP": lambda _: Reply(),
            "LOGOUT": lambda _: Reply((b"* BYE see you",), after=After.CLOSE),
            "AUTHENTICATE PLAIN ": self._authenticate,
            "AUTHENTICATE OAUTHBEARER ": self._admit_token,
            "AUTHENTICATE XOAUTH2 ": self._admit_token,
            "LOGIN ": self._login,
            "ID ": lambda _: Reply((b'* ID ("name" "hostile")',)),
            "ENABLE ": self._enable,
            "NAMESPACE": lambda _: Reply((self._mail.namespaces,)),
            "LIST ": self._list,
            "STATUS ": self._status,
            "EXAMINE ": self._examine,
            "SELECT ": self._select,
            "UNSELECT": self._unselect,
            "UID FETCH ": self._fetch,
            "UID STORE ": self._store,
            "UID SEARCH ": self._search,
        }

    def answer(self, command: bytes) -> Reply:
        """The answer to a command line without its tag and line end."""
        text = command.decode("latin-1")
        name = next((name for name in self._commands if text.startswith(name)), None)
        if name is None or not (
            self._logged_in or name.startswith(("CAPABILITY", "LOGOUT", "LOGIN ", "AUTHENTICATE "))
        ):
            return BAD
        with self._mail.lock:
            reply = self._commands[name](text[len(name) :])
            news = self._news()
        return replace(reply, lines=(*reply.lines, *news))

    def close(self) -> None:
        """Close the folder."""
        self._folder = None

    # Login

    def _authenticate(self, response: str) -> Reply:
        _, user, password = base64.b64decode(response).decode().split("\0")
        return self._admit(user, password)

    def _login(self, arguments: str) -> Reply:
        user, password = (re.sub(r"\\(.)", r"\1", text) for text in _QUOTED.findall(arguments))
        return self._admit(user, password)

    def _admit_token(self, response: str) -> Reply:
        """Admit the user with one of the mailbox's tokens; tell what is wrong with another (RFC 7628 section 3.2.2)."""
        shown = base64.b64decode(response).decode()
        user, token = _BEARER_USER.search(shown), _BEARER_TOKEN.search(shown)
        assert user is not None, shown
        assert token is not None, shown
        admitted = user[1] == self._secret[0] and token[1] in self._mail.tokens
        reply = self._admitted(admitted)
        return reply if admitted else replace(reply, challenge=b'{"status":"invalid_token"}')

    def _admit(self, user: str, password: str) -> Reply:
        return self._admitted((user, password) == self._secret)

    def _admitted(self, admitted: bool) -> Reply:
        self._logged_in = admitted
        if admitted:
            return Reply(completion=b"OK [CAPABILITY " + self._capabilities.encode() + b"] logged in")
        return Reply(completion=b"NO [AUTHENTICATIONFAILED] no")

    def _enable(self, names: str) -> Reply:
        self._enabled |= set(names.split()) & set(self._capabilities.split()) & {"CONDSTORE", "QRESYNC"}
        return Reply((b"* ENABLED " + " ".join(sorted(self._enabled)).encode(),))

    # Folders

    def _list(self, arguments: str) -> Reply:
        if not arguments.startswith('"" "*"'):
            return BAD
        return Reply(tuple(self._listed(name, folder) for name, folder in self._mail.folders.items()))

    def _listed(self, name: str, folder: HeldFolder) -> bytes:
        inner = any(other.startswith(name + self._mail.delimiter) for other in self._mail.folders)
        attributes = ["\\HasChildren" if inner else "\\HasNoChildren"]
        if folder.special_use and "SPECIAL-USE" in self._capabilities:
            attributes.append(folder.special_use)
        told = (" ".join(attributes).encode(), self._mail.delimiter.encode(), _quoted(name))
        return b'* LIST (%s) "%s" %s' % told

    def _named(self, argument: str) -> HeldFolder | None:
        found = _QUOTED.match(argument)
        raw = re.sub(r"\\(.)", r"\1", found[1] if found else argument).encode("latin-1")
        return self._mail.folders.get(imap_utf7.decode(raw))

    def _status(self, arguments: str) -> Reply:
        folder = self._named(arguments)
        if folder is None:
            return ABSENT
        told = {
            "MESSAGES": len(folder.shown),
            "UIDNEXT": folder.uid_next,
            "UIDVALIDITY": folder.uid_validity,
            "HIGHESTMODSEQ": folder.modseq,
            "MAILBOXID": f"({folder.mailbox_id})",
        }
        name, _, items = arguments.rpartition(" (")
        counters = " ".join(f"{item} {told[item]}" for item in items.rstrip(")").split())
        return Reply((f"* STATUS {name} ({counters})".encode("latin-1"),))

    def _examine(self, argument: str) -> Reply:
        self._folder, self._view, self._writable = self._named(argument), [], False
        if self._folder is None:
            return ABSENT
        self._view = list(self._folder.shown)
        codes = [b"UIDVALIDITY %d" % self._folder.uid_validity, b"UIDNEXT %d" % self._folder.uid_next]
        if self._enabled:
            codes.append(b"HIGHESTMODSEQ %d" % self._folder.modseq)
        flags = rb"* FLAGS (\Answered \Flagged \Deleted \Seen \Draft)"
        counts = (b"* %d EXISTS" % len(self._view), b"* 0 RECENT")
        return Reply((flags, *counts, *(b"* OK [%s] ok" % code for code in codes)), b"OK [READ-ONLY] opened")

    def _select(self, argument: str) -> Reply:
        reply = self._examine(argument)
        self._writable = self._folder is not None
        return replace(reply, completion=b"OK [READ-WRITE] opened") if self._writable else reply

    def _unselect(self, _: str) -> Reply:
        self._folder = None
        return Reply()

    def _news(self) -> list[bytes]:
        """EXPUNGE or VANISHED and EXISTS for what changed since the last command; the view then is what was told."""
        if self._folder is None:
            return []
        held = self._folder.shown
        gone = [number for number, uid in enumerate(self._view, 1) if uid not in held]
        # From the end, so that no number told before is shifted by one told after.
        news = [b"* %d EXPUNGE" % number for number in reversed(gone)]
        if gone and "QRESYNC" in self._enabled:
            news = [b"* VANISHED " + b",".join(b"%d" % self._view[number - 1] for number in gone)]
        self._view = [uid for uid in self._view if uid in held]
        if len(self._view) != len(held):
            news.append(b"* %d EXISTS" % len(held))
        self._view = list(held)
        return news

    # Messages

    def _fetch(self, arguments: str) -> Reply:
        asked = _FETCH.fullmatch(arguments)
        if self._folder is None or asked is None:
            return BAD
        uids, items, since, vanished = asked.groups()
        if (since and not self._enabled) or (vanished and "QRESYNC" not in self._enabled):
            return BAD
        held, modseq = self._folder.messages, int(since or 0)
        view = set(self._view)
        wanted = [uid for uid in self._folder.within(uids) if uid in view and held[uid].modseq > modseq]
        names = list(dict.fromkeys(["UID", *_ITEM.findall(items), *(["MODSEQ"] if since else [])]))
        gone = [b"%d" % uid for uid, at in self._folder.expunged.items() if at > modseq] if vanished else []
        return Reply(
            (
                *((b"* VANISHED (EARLIER) " + b",".join(gone),) if gone else ()),
                *self._told(wanted, names),
            )
        )

    def _store(self, arguments: str) -> Reply:
        asked = _STORE.fullmatch(arguments)
        if self._folder is None or asked is None or not self._writable:
            return BAD
        uids, since, sign, item, listed = asked.groups()
        if (since and not self._enabled) or (item == "X-GM-LABELS" and GMAIL_ONLY not in self._capabilities):
            return BAD
        held, most = self._folder.messages, int(since or 1 << 63)
        within = [uid for uid in self._folder.within(uids) if uid in self._view]
        chosen = [uid for uid in within if held[uid].modseq <= most]
        change(self._mail, self._folder, [held[uid] for uid in chosen], f"{sign}{item}", listed)
        # RFC 7162 section 3.1.3; and labels, of which nothing is silent.
        names = ["UID", *(["MODSEQ"] if self._enabled else []), *([item] if item in _ITEMS else [])]
        told = self._told([uid for uid in chosen if uid in held], names)
        newer = b",".join(b"%d" % uid for uid in within if uid not in chosen)
        return Reply(told, b"OK [MODIFIED " + newer + b"] not all" if newer else b"OK done")

    def _told(self, uids: list[int], names: list[str]) -> tuple[bytes, ...]:
        """A FETCH response for each of these messages."""
        assert self._folder is not None
        held, numbers = self._folder.messages, {uid: number for number, uid in enumerate(self._view, 1)}
        return tuple(
            b"* %d FETCH (%s)" % (numbers[uid], b" ".join(_item(name, uid, held[uid]) for name in names))
            for uid in uids
        )

    def _search(self, criteria: str) -> Reply:
        if self._folder is None:
            return BAD
        criteria = criteria.removeprefix("RETURN (ALL) ")
        since = re.fullmatch(r"SINCE (\d+-\w+-\d+)", criteria)
        first = datetime.strptime(since[1], "%d-%b-%Y").date() if since else date.min  # noqa: DTZ007
        messages = self._folder.messages
        zone = self._mail.zone
        held = [uid for uid in self._view if uid in messages]
        found = [uid for uid in held if messages[uid].date.astimezone(zone).date() >= first]
        if "ESEARCH" not in self._capabilities:
            return Reply((b" ".join([b"* SEARCH", *(b"%d" % uid for uid in found)]),))
        every = b" ALL " + b",".join(b"%d" % uid for uid in found) if found else b""
        return Reply((b"* ESEARCH UID" + every,))


def _quoted(name: str) -> bytes:
    raw: bytes = imap_utf7.encode(name)
    return b'"' + raw.replace(b"\\", b"\\\\").replace(b'"', b'\\"') + b'"'


_ITEMS: dict[str, Callable[[HeldMessage], bytes]] = {
    "FLAGS": lambda message: b"(" + " ".join(sorted(message.flags)).encode("latin-1") + b")",
    "MODSEQ": lambda message: b"(%d)" % message.modseq,
    "INTERNALDATE": lambda message: Time2Internaldate(message.date).encode("ascii"),
    "RFC822.SIZE": lambda message: b"%d" % len(message.raw),
    "EMAILID": lambda message: b"(M%d)" % message.number,
    "X-GM-MSGID": lambda message: b"%d" % message.number,
    "THREADID": lambda message: b"(T%d)" % message.thread if message.thread else b"NIL",
    "X-GM-THRID": lambda message: b"%d" % (message.thread or message.number),
    "X-GM-LABELS": lambda message: b"(" + b" ".join(map(_quoted, sorted(message.labels))) + b")",
    "ENVELOPE": lambda message: hostile_message.envelope(message.raw),
    "BODYSTRUCTURE": lambda message: hostile_message.body_structure(message.raw),
}


def _item(name: str, uid: int, message: HeldMessage) -> bytes:
    if name == "UID":
        return b"UID %d" % uid
    if name in _ITEMS:
        return name.encode("ascii") + b" " + _ITEMS[name](message)
    return _section(name, message.raw)


def _section(name: str, raw: bytes) -> bytes:
    if name.startswith("BODY.PEEK[HEADER.FIELDS"):
        names = name.partition("(")[2].partition(")")[0]
        return b"BODY[HEADER.FIELDS (%s)] %s" % (
            names.encode("ascii"),
            hostile_message.header_fields(raw, names.lower().split()),
        )
    wanted = _SECTION.fullmatch(name)
    assert wanted is not None, name
    header, _, text = raw.partition(b"\r\n\r\n")
    named = {"": raw, "HEADER": header + b"\r\n\r\n", "TEXT": text}
    whole = named[wanted[1]] if wanted[1] in named else hostile_message.section(raw, wanted[1])
    octets = whole[int(wanted[2]) :][: int(wanted[3])]
    return b"BODY[%s]<%s> {%d}\r\n%s" % (wanted[1].encode(), wanted[2].encode(), len(octets), octets)
