"""What the people of the demo mailbox are called and write about, in the languages and charsets real mail mixes."""

from typing import NamedTuple

OWNER = ("Dana Demo", "dana@demo.example")


class Tongue(NamedTuple):
    """A language with the charsets its mail programs used, a few subjects, and sentences for bodies."""

    charsets: tuple[str, ...]
    subjects: tuple[str, ...]
    sentences: tuple[str, ...]


# Correspondents whose names or addresses put a parser to the test.
ODD_PEOPLE = (
    ("Alice Archer", "alice@archer.example"),
    ("Bob O'Neill", "bob.oneill@mail.example"),
    ("Jürgen Müßig", "juergen@muessig.example"),
    ("Zoë Brontë", "zoe@bronte.example"),
    ("François Lefèvre", "francois.lefevre@entreprise.example"),
    ("Łukasz Żółć", "lukasz@zolc.example"),
    ("Иван Петров", "ivan.petrov@pochta.example"),
    ("山田太郎", "yamada@example.jp"),
    ("محمد العربي", "mohammed@barid.example"),
    ('"Support" (Team, 2nd level)', "support+tickets@helpdesk.example"),
    ("Meyer, Karl-Heinz Dr.", "k-h.meyer@kanzlei-meyer.example"),
    ("", "noreply@shop.example"),
    ("Grace 🚀 Hopper", "grace@navy.example"),
    ("Billing", "billing@hosting.example"),
    ("news@weekly.example", "news@weekly.example"),
    ("Priya Raman", "priya@raman.example"),
)

# And several hundred whose do not, since a mailbox of sixteen correspondents would flatter every cache.
COMMON_PEOPLE = tuple(
    (f"{first} {last}", f"{first}.{last}@{last}.example".lower())
    for first in "Anna Ben Carla David Emma Felix Greta Hugo Ida Jonas Klara Liam Mia Noah Olga Paul Rosa Sam Tara Udo".split()
    for last in "Abel Bauer Cole Davis Evans Fischer Green Hill Ito Jones Keller Lopez Moore Nagy Olsen Park Quinn".split()
)

ENGLISH = Tongue(
    ("us-ascii", "utf-8"),
    (
        "Minutes of Tuesday's meeting",
        "Invoice 2025-0117",
        "Quick question about the contract",
        "Your order has shipped",
        "Lunch on Friday?",
        "Release 4.2 is out",
        "Please review: draft of the annual report, second version, with the changes discussed on the phone",
        "[ticket #48213] Printer on the third floor is jammed again",
    ),
    (
        "Thanks for getting back to me so quickly.",
        "I have attached the figures for the last quarter, together with the notes from our call.",
        "Could you let me know by Thursday whether the date still works for you?",
        "The parcel was handed to the carrier this morning and should arrive within two days.",
        "We found the cause: the cache was never cleared after the name had changed.",
        "Nothing else to report from my side.",
        "See you at the station, platform 7, shortly before nine.",
        "From now on all invoices will come from this address.",
    ),
)

GERMAN = Tongue(
    ("iso-8859-1", "iso-8859-15", "utf-8"),
    (
        "Rückfrage zur Überweisung",
        "Einladung: Grillen am Samstag bei Müllers",
        "Änderungen im Vertrag - bitte prüfen",
        "Ihre Bestellung Nr. 20731 über 49,90 €",
        "Abwesenheit vom 3. bis zum 14.",
    ),
    (
        "vielen Dank für die schnelle Antwort.",
        "Die geänderten Unterlagen hängen an, über Rückmeldung bis Freitag würde ich mich freuen.",
        "Der Ärger mit der Rechnung ist hoffentlich vorüber.",
        "Schöne Grüße, auch an die Söhne!",
    ),
)

FRENCH = Tongue(
    ("iso-8859-1", "utf-8"),
    ("Réunion reportée à jeudi", "Facture n° 731 réglée", "Ça avance : où en êtes-vous ?"),
    (
        "Merci beaucoup pour votre réponse détaillée.",
        "Vous trouverez ci-joint le devis signé, comme convenu hier.",
        "À bientôt, et bon week-end à toute l'équipe.",
    ),
)

RUSSIAN = Tongue(
    ("windows-1251", "koi8-r", "utf-8"),
    ("Договор на подпись", "Встреча переносится на среду", "Счёт за март"),
    (
        "Добрый день! Высылаю исправленный вариант договора.",
        "Пожалуйста, подтвердите получение.",
        "Спасибо и хорошего дня.",
    ),
)

JAPANESE = Tongue(
    ("iso-2022-jp", "utf-8"),
    ("お見積りの件", "来週の打ち合わせについて", "ご注文ありがとうございます"),
    (
        "いつもお世話になっております。",
        "添付の資料をご確認ください。",
        "よろしくお願いいたします。",
    ),
)

TONGUES = (ENGLISH, GERMAN, FRENCH, RUSSIAN, JAPANESE)
TONGUE_WEIGHTS = (62, 18, 8, 6, 6)

ATTACHMENT_NAMES = (
    "report.pdf",
    "figures Q4 (final).pdf",
    "Kündigung & Änderung.pdf",
    "Résumé — François Lefèvre.pdf",
    "Ein ziemlich langer Dateiname, wie ihn Programme aus dem Betreff einer Nachricht erzeugen, größer als üblich.pdf",
    "見積書.pdf",
    'notes "as dictated".txt',
    "list.csv",
    "Договор.txt",
    "../../etc/passwd.txt",
)

KEYWORDS = ("$Forwarded", "$Label1", "NonJunk", "work", "invoice", "family", "to-do")
