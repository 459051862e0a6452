r"""Gmail's labels: which of them a folder shows, and what becomes of messages whose labels are changed.

On Gmail a folder is the messages of one label, All Mail those of any, and X-GM-LABELS leaves out the label of the folder
that is open. So whatever is in the folder has that label, though nothing says so, and what loses it, or goes to the trash
or to spam, is there no more. Names are compared as Gmail tells them apart, without regard to case.
"""

from collections.abc import Iterable
from unicodedata import normalize

from mailsync_grpc.imap.folder_names import INBOX, decode_name
from mailsync_grpc.model.flags import FLAGGED, Flags
from mailsync_grpc.model.folder import Folder
from mailsync_grpc.model.intent import Intent

_STARRED = "\\starred"
# Both spellings of two labels are met; All Mail has none.
_OF_USES = {
    "\\All": frozenset[str](),
    "\\Drafts": frozenset({"\\draft", "\\drafts"}),
    "\\Flagged": frozenset({_STARRED}),
    "\\Junk": frozenset({"\\spam", "\\junk"}),
}
_ASIDE = frozenset({"\\trash", "\\spam", "\\junk"})


def folded(labels: Iterable[str]) -> frozenset[str]:
    """Return labels as they are compared."""
    return frozenset(normalize("NFC", label).casefold() for label in labels)


def own_labels(folder: Folder) -> frozenset[str]:
    """Return the names of the label whose messages the folder shows, folded; none where it shows those of any."""
    if folder.raw_name == INBOX.encode():
        return frozenset({"\\inbox"})
    if folder.special_use:
        return _OF_USES.get(folder.special_use, folded([folder.special_use]))
    return folded([decode_name(folder.raw_name)])


def as_asked(intent: Intent, held: Flags, own: frozenset[str]) -> bool:
    """Whether a message of a folder of the label `own` has the labels that were asked for, by what FETCH tells."""
    has = folded(held.labels) | own
    return folded(intent.add.labels) <= has and has.isdisjoint(folded(intent.remove.labels))


def taking(intent: Intent, folder: Folder) -> tuple[Flags, Flags]:
    """Return those of the flags and labels to add, and of those to remove, that take messages out of the folder."""
    own = own_labels(folder)
    aside = Flags(labels=_among(intent.add, _ASIDE - own))
    return aside, Flags(
        (FLAGGED,) if _STARRED in own and FLAGGED in intent.remove else (), _among(intent.remove, own)
    )


def concern(intent: Intent, folder: Folder) -> bool:
    """Whether messages come to the folder, or go, by what is to be changed."""
    return not own_labels(folder).isdisjoint(_labels(intent.add) | _labels(intent.remove))


def contradict(add: Flags, remove: Flags) -> bool:
    r"""Whether one is to be added and removed at once; `\Starred` is the flag `\Flagged`."""
    return add.minus(remove).names != add.names or not _labels(add).isdisjoint(_labels(remove))


def _labels(flags: Flags) -> frozenset[str]:
    return folded(flags.labels) | ({_STARRED} if FLAGGED in flags else frozenset())


def _among(flags: Flags, folded_names: frozenset[str]) -> tuple[str, ...]:
    return tuple(label for label in flags.labels if not folded([label]).isdisjoint(folded_names))
