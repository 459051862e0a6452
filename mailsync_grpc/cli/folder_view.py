"""Folders as people see them: a tree, as the mail server nests them."""

from collections.abc import Iterable
from datetime import datetime

from rich.text import Text
from rich.tree import Tree

from mailsync_grpc.cli.terminal import ago, plain, plural, word
from mailsync_grpc.v1.folder_pb2 import Folder, FolderState, SpecialUse

_QUIET = {FolderState.FOLDER_STATE_SYNCED, FolderState.FOLDER_STATE_NOT_SELECTED}


def folder_tree(title: str, folders: Iterable[Folder], now: datetime | None = None) -> Tree:
    """A tree of folders given in tree order. With ``now`` it says how fresh each mirrored one is."""
    root = Tree(plain(title, "bold"), guide_style="dim")
    branches = {"": root}
    for folder in folders:
        # A page or a filter may leave out the folder above.
        above = branches.get(folder.parent, root)
        branches[folder.name] = above.add(folder_line(folder, now))
    return root


def folder_line(folder: Folder, now: datetime | None = None) -> Text:
    """One folder: a full dot when it is mirrored, its name, what it is for, its counts, how fresh they are."""
    mark = ("● ", "green") if folder.selected else ("○ ", "dim")
    line = Text.assemble(mark, plain(folder.display_name or folder.path, "bold" if folder.selected else ""))
    use = word(SpecialUse.Name(folder.special_use), "SPECIAL_USE_")
    if folder.special_use and use != folder.display_name.lower():
        line.append(f"  {use}", style="cyan")
    if folder.HasField("counts"):
        line.append(
            f"  {plural(folder.counts.messages, 'message')}, {folder.counts.unseen:,} unread", style="dim"
        )
    if folder.selected and folder.state not in _QUIET:
        line.append(f"  {word(FolderState.Name(folder.state), 'FOLDER_STATE_')}", style="yellow")
    if folder.state_message:
        line.append_text(plain(f"  {folder.state_message}", "red"))
    if now is not None and folder.HasField("as_of"):
        line.append(f"  looked at {ago(folder.as_of, now)}", style="dim")
    return line
