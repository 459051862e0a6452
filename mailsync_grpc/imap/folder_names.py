r"""Folder names: modified UTF-7 both ways (RFC 3501 section 5.1.3), and what a name says about a folder's use.

A mailbox name is an opaque string of octets to everything but people: the raw name goes back to the server exactly as
it came, the decoded one is for display. Names that are not well-formed modified UTF-7 exist (raw UTF-8, a lone `&`);
decoding is accepted only when encoding the result gives the same octets again, otherwise the octets are shown as they
read best.
"""

import base64
import binascii
import re
from unicodedata import normalize

from mailsync_grpc.imap.header_text import clean, octets_text

_SHIFTED = re.compile(rb"&([^-]*)-")
_NEEDS_SHIFT = re.compile(r"[^\x20-\x7e]+")

INBOX = "INBOX"
SENT = "\\Sent"


def _folded(name: str) -> str:
    # Composed, because some programs create folders with accents apart from their letters.
    return normalize("NFC", name.strip()).casefold()


# Names under which mail programs and providers keep sent mail, folded; special-use attributes (RFC 6154) go first.
_SENT_NAMES = frozenset(
    _folded(name)
    for name in """
    Sent|Sent Items|SentItems|Sent-Items|Sent_Items|Sent Messages|Sent Msgs|Sent Mail|Sent-Mail|Sent_Mail|Sent Mails
    Sent Objects|Sent Email|Sent Emails|Sent E-Mails|Sentmail|Outbox Sent|Mail Sent|My Sent Mail
    Gesendet|Gesendete Objekte|Gesendete Elemente|Gesendete Nachrichten|Gesendete Mails|Gesendete E-Mails
    Gesendete Post|Versendet
    Envoyé|Envoyés|Éléments envoyés|Messages envoyés|Courrier envoyé|Courriers envoyés|Courriels envoyés|Objets envoyés
    Mails envoyés|E-mails envoyés|Envoyes|Elements envoyes|Messages envoyes|Bidalitakoak|Bidalita
    Enviados|Elementos enviados|Mensajes enviados|Correo enviado|Correos enviados|Elements enviats|Enviats
    Enviado|Correo electrónico enviado|Itens enviados|E-mails enviados|Mensagens enviadas|Enviadas|Correio enviado
    Inviata|Inviate|Posta inviata|Inviati|Elementi inviati|Messaggi inviati|Oggetti inviati
    Verzonden|Verzonden items|Verzonden berichten|Verzonden objecten|Ferstjoerd
    Skickat|Skickade|Skickade objekt|Skickade meddelanden|Sendt|Sendte|Sendt post|Sendte elementer|Sendte e-mail
    Sendte meldinger|Sent elementer|Lähetetyt|Lähetetyt viestit|Lähetetyt kohteet|Sendir hlutir|Saadetud
    Wysłane|Elementy wysłane|Wysłane wiadomości|Odeslané|Odeslaná pošta|Odeslané zprávy|Odoslané|Odoslaná pošta
    Elküldött|Elküldött elemek|Elküldött üzenetek|Trimise|Mesaje trimise|Elemente trimise|Poslano|Poslane stavke
    Poslana pošta|Poslate|Poslato|Послато|Изпратени|Изпратена поща|Отправленные|Отправленное|Отправленные письма|Надіслані|Відправлені
    Nosūtītie|Nosūtītās|Išsiųsta|Išsiųsti laiškai|Gönderilmiş Öğeler|Gönderilmiş|Gönderilenler|Gönderilen
    Gönderilmiş Postalar|Απεσταλμένα|Σταλθέντα|Στοιχεία απεσταλμένων|البريد المرسل|العناصر المرسلة|المرسل|الرسائل المرسلة
    פריטים שנשלחו|דואר שנשלח|נשלחו|ارسال شده|भेजे गए|ส่งแล้ว|รายการที่ถูกส่ง|Đã gửi|Thư đã gửi|Mục đã Gửi|Terkirim
    Item Terkirim|Dihantar|已发送|已发送邮件|已发邮件|已发送消息|已传送|已傳送郵件|寄件夾|已傳送|寄件備份|寄件匣備份|已寄出|已傳送的郵件|送信済み|送信済みアイテム
    送信済みメール|送信済みトレイ|送信済メール|보낸 편지함|보낸편지함|보낸 메일함|보낸메일함|보낸 메시지
    """.replace("\n", "|").split("|")
)


def decode_name(raw: bytes) -> str:
    """Return the display form of a mailbox name: decoded when it is well-formed, else as its octets read best."""
    decoded = _decoded(raw)
    return octets_display(raw) if decoded is None else clean(decoded)


def _decoded(raw: bytes) -> str | None:
    if not raw.isascii():
        return None
    if b"&" not in raw:
        return raw.decode("ascii")
    try:
        text = _unshift(raw)
        return text if encode_name(text) == raw else None
    except (binascii.Error, ValueError):
        return None


def _unshift(raw: bytes) -> str:
    pieces = _SHIFTED.split(raw)
    pieces[1::2] = [_base64_text(piece).encode("utf-8") if piece else b"&" for piece in pieces[1::2]]
    return b"".join(pieces).decode("utf-8")


def _base64_text(shifted: bytes) -> str:
    padded = shifted.replace(b",", b"/") + b"=" * (-len(shifted) % 4)
    return base64.b64decode(padded, validate=True).decode("utf-16-be")


def octets_display(raw: bytes) -> str:
    """Return octets that are no modified UTF-7 as text for people."""
    return clean(octets_text(raw))


def encode_name(name: str) -> bytes:
    """Return `name` in modified UTF-7; its inverse is `decode_name` for every name without control characters."""
    return _NEEDS_SHIFT.sub(_shift, name.replace("&", "&-")).encode("ascii")


def _shift(run: re.Match[str]) -> str:
    encoded = base64.b64encode(run[0].encode("utf-16-be")).rstrip(b"=").replace(b"/", b",")
    return f"&{encoded.decode('ascii')}-"


def special_use_of(name: str) -> str:
    r"""Return `\Sent` when the last level of a folder is named as sent mail is in some language, else the empty string."""
    folded = _folded(name)
    return SENT if folded and folded in _SENT_NAMES else ""
