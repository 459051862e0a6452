r"""Gmail's labels on the hostile server: a folder shows the messages of a label, so that labels put messages in folders.

Copies of a message in several folders are one message, known by `number`. Each copy has all labels of the message but that
of the folder it is in, as X-GM-LABELS tells them.
"""

import re
from collections.abc import Iterable
from dataclasses import replace

from imapclient import imap_utf7

from tests.support.hostile_store import HeldFolder, HeldMail, HeldMessage

STARRED = "\\Starred"
_OF_USES = {"\\All": "", "\\Drafts": "\\Draft", "\\Flagged": STARRED, "\\Junk": "\\Spam"}
_QUOTED = re.compile(r'"((?:[^"\\]|\\.)*)"')
_ASIDE = ("\\Trash", "\\Spam")


def relabel(mail: HeldMail, messages: Iterable[HeldMessage], sign: str, labels: Iterable[str]) -> None:
    """Add labels to messages, in all their copies, or remove them, and with them messages from folders."""
    known = {name.casefold(): name for name in _places(mail)}
    names = [known.get(label.casefold(), label) for label in labels]
    with mail.lock:
        for message in list(messages):
            for label in names:
                (_add if sign == "+" else _remove)(mail, message, label)


def change(mail: HeldMail, folder: HeldFolder, messages: list[HeldMessage], item: str, names: str) -> None:
    r"""Do what a STORE of this item asks; the label `\Starred` follows the flag `\Flagged`."""
    sign = item[0]
    if item.endswith("X-GM-LABELS"):
        raw = [re.sub(r"\\(.)", r"\1", name).encode("ascii") for name in _QUOTED.findall(names)]
        relabel(mail, messages, sign, map(imap_utf7.decode, raw))
        return
    flags = frozenset(names.split())
    for message in messages:
        message.flags = message.flags | flags if sign == "+" else message.flags - flags
        message.modseq = folder.next_modseq()
    if "\\Flagged" in flags:
        relabel(mail, messages, sign, [STARRED])


def _add(mail: HeldMail, message: HeldMessage, label: str) -> None:
    places = _places(mail)
    if not label.startswith("\\") and label not in places:
        mail.create_folders([label])
        places = _places(mail)
    copies = _copies(mail, message)
    labels = {own for own in places if any(copy[0] is places[own] for copy in copies)} | message.labels
    for held, uid, copy in copies:
        if label in _ASIDE and held is not places[label]:
            _take(held, uid)
        elif places.get(label) is not held:
            _change(held, copy, copy.labels | {label}, _flags(copy, label, "+"))
    if label in places and all(held is not places[label] for held, _, _ in copies):
        kept = frozenset() if label in _ASIDE else frozenset(labels - {label, ""})
        places[label].add(replace(message, labels=kept))


def _remove(mail: HeldMail, message: HeldMessage, label: str) -> None:
    place = _places(mail).get(label)
    for held, uid, copy in _copies(mail, message):
        if held is place:
            _take(held, uid)
        else:
            _change(held, copy, copy.labels - {label}, _flags(copy, label, "-"))


def _places(mail: HeldMail) -> dict[str, HeldFolder]:
    """The folder of each label."""
    return {_label_of(name, held): held for name, held in mail.folders.items()}


def _label_of(name: str, held: HeldFolder) -> str:
    if name == "INBOX":
        return "\\Inbox"
    return _OF_USES.get(held.special_use, held.special_use) if held.special_use else name


def _copies(mail: HeldMail, message: HeldMessage) -> list[tuple[HeldFolder, int, HeldMessage]]:
    return [
        (held, uid, copy)
        for held in mail.folders.values()
        for uid, copy in held.messages.items()
        if copy.number == message.number
    ]


def _change(held: HeldFolder, copy: HeldMessage, labels: frozenset[str], flags: frozenset[str]) -> None:
    if (copy.labels, copy.flags) != (labels, flags):
        copy.labels, copy.flags, copy.modseq = labels, flags, held.next_modseq()


def _flags(copy: HeldMessage, label: str, sign: str) -> frozenset[str]:
    if label != STARRED:
        return copy.flags
    return copy.flags | {"\\Flagged"} if sign == "+" else copy.flags - {"\\Flagged"}


def _take(held: HeldFolder, uid: int) -> None:
    del held.messages[uid]
    held.expunged[uid] = held.next_modseq()
