"""A small file of each format, made here."""

import io
import json
import tarfile
import zipfile

import pyarrow as pa
import pyarrow.parquet as pq

SENTENCE = "The river is cold in spring, since its water comes from the snow of the mountains."


def zipped(members: dict[str, bytes | str]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return buffer.getvalue()


def tarred(members: dict[str, bytes], mode: str = "w") -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode=mode) as archive:
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return buffer.getvalue()


def pdf(pages: list[list[str]], title: str = "", trailer: str = "") -> bytes:
    """A PDF of lines of text, and what its trailer has besides."""
    objects = ["<< /Type /Catalog /Pages 2 0 R >>"]
    kids = " ".join(f"{4 + 2 * i} 0 R" for i in range(len(pages)))
    objects.append(f"<< /Type /Pages /Kids [{kids}] /Count {len(pages)} >>")
    objects.append("<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>")
    for i, lines in enumerate(pages):
        shown = "".join(f"({line}) Tj 0 -20 Td " for line in lines)
        stream = f"BT /F1 12 Tf 50 750 Td {shown}ET" if lines else ""
        objects.append(
            "<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792] /Resources << /Font << /F1 3 0 R >> >> "
            f"/Contents {5 + 2 * i} 0 R >>"
        )
        objects.append(f"<< /Length {len(stream)} >>\nstream\n{stream}\nendstream")
    objects.append(f"<< /Title ({title}) >>")
    body, offsets = "%PDF-1.4\n", []
    for number, held in enumerate(objects, start=1):
        offsets.append(len(body))
        body += f"{number} 0 obj\n{held}\nendobj\n"
    table = "".join(f"{offset:010} 00000 n \n" for offset in offsets)
    end = (
        f"<< /Size {len(objects) + 1} /Root 1 0 R /Info {len(objects)} 0 R {trailer}>>\nstartxref\n{len(body)}\n%%EOF\n"
    )
    return f"{body}xref\n0 {len(objects) + 1}\n0000000000 65535 f \n{table}trailer\n{end}".encode()


W = 'xmlns:w="http://schemas.openxmlformats.org/wordprocessingml/2006/main"'
DC = 'xmlns:dc="http://purl.org/dc/elements/1.1/"'


def docx(body: str, title: str = "The river") -> bytes:
    styles = '<w:style w:styleId="berschrift1"><w:name w:val="heading 1"/></w:style>'
    return zipped(
        {
            "word/document.xml": f"<w:document {W}><w:body>{body}</w:body></w:document>",
            "word/styles.xml": f"<w:styles {W}>{styles}</w:styles>",
            "docProps/core.xml": f"<core {DC}><dc:title>{title}</dc:title></core>",
        }
    )


DOCX_BODY = (
    '<w:p><w:pPr><w:pStyle w:val="berschrift1"/></w:pPr><w:r><w:t>A </w:t></w:r><w:r><w:t>heading</w:t></w:r></w:p>'
    f"<w:p><w:r><w:t>{SENTENCE}</w:t></w:r><w:del><w:r><w:delText>deleted</w:delText></w:r></w:del></w:p>"
    "<w:p><w:pPr><w:numPr/></w:pPr><w:r><w:t>a point</w:t></w:r></w:p>"
    "<w:tbl><w:tr><w:tc><w:p><w:r><w:t>one</w:t></w:r></w:p></w:tc><w:tc><w:p><w:r><w:t>two</w:t></w:r></w:p></w:tc></w:tr></w:tbl>"
)
ODF = " ".join(
    f'xmlns:{n}="urn:oasis:names:tc:opendocument:xmlns:{n}:1.0"' for n in ("office", "text", "table", "manifest")
)
ODT_BODY = (
    '<text:h text:outline-level="2">A heading</text:h>'
    f"<text:p>{SENTENCE}<text:note>a note</text:note></text:p>"
    "<text:list><text:list-item><text:p>a point</text:p></text:list-item></text:list>"
    "<table:table><table:table-row><table:table-cell><text:p>one</text:p></table:table-cell>"
    "<table:table-cell><text:p>two</text:p></table:table-cell></table:table-row></table:table>"
)


def odt(body: str, manifest: str = "") -> bytes:
    text = f"<office:body><office:text>{body}</office:text></office:body>"
    return zipped(
        {
            "content.xml": f"<office:document-content {ODF}>{text}</office:document-content>",
            "meta.xml": f"<office:document-meta {ODF} {DC}><dc:title>The river</dc:title></office:document-meta>",
            "META-INF/manifest.xml": f"<manifest:manifest {ODF}>{manifest}</manifest:manifest>",
        }
    )


def epub(**more: str) -> bytes:
    chapter = "<html xmlns='http://www.w3.org/1999/xhtml'><body><h2>Chapter {}</h2><p>{}</p></body></html>"
    items = "".join(
        f'<item id="{name}" href="text/{name}%20.xhtml" media-type="application/xhtml+xml"/>' for name in ("one", "two")
    )
    package = (
        f'<package xmlns="http://www.idpf.org/2007/opf" {DC}><metadata><dc:title>The river</dc:title>'
        f"<dc:language>en</dc:language></metadata><manifest>{items}</manifest>"
        '<spine><itemref idref="two"/><itemref idref="one"/></spine></package>'
    )
    rootfile = '<rootfile full-path="OPS/package.opf"/>'
    container = f'<container xmlns="urn:oasis:names:tc:opendocument:xmlns:container"><rootfiles>{rootfile}</rootfiles></container>'
    members = {
        "META-INF/container.xml": container,
        "OPS/package.opf": package,
        "OPS/text/one .xhtml": chapter.format(1, SENTENCE),
        "OPS/text/two .xhtml": chapter.format(2, "It begins at its end."),
    }
    return zipped(members | more)


def notebook() -> bytes:
    cells = [
        {"cell_type": "markdown", "source": ["# The river\n", SENTENCE]},
        {"cell_type": "code", "source": "print(1)", "outputs": [{"text": "not read"}]},
        {"cell_type": "code", "source": []},
    ]
    return json.dumps({"cells": cells, "metadata": {"language_info": {"name": "julia"}}, "nbformat": 4}).encode()


TEX = rf"""\documentclass{{article}}
\title{{The \emph{{river}}}} % a comment
\begin{{document}}
\maketitle \section{{A heading}}
{SENTENCE} See \cite{{x}} and $a^2 + \frac{{1}}{{2}}$, caf\'e.
\begin{{verbatim}}
x = 1
    y % kept
\end{{verbatim}}
\end{{document}}
""".encode()
ORG = f"""#+TITLE: The river
* TODO A heading :tag:
:PROPERTIES:
:ID: 7
:END:
{SENTENCE} See [[https://example.org][the page]].
#+BEGIN_SRC julia
* x = 1
#+END_SRC
# a comment
""".encode()
POD = f"""#!/usr/bin/perl
print "code";

=head1 The river

{SENTENCE} It B<< is -> I<deep> >>, 5 E<lt> 6, see L<the sea|sea(1)>, C<x=1>.X<index>

=over 4

=item *

a point

=back

    my $x = "I<kept>";

    print $x;

=begin html

<p>left out</p>

=end html

=cut

sub code {{ 1 }}
""".encode()
MAN = rf""".\" a comment
.TH RIVER 1 "2024" "System" "Manual"
.SH A HEADING
river \- flows \fIdown\fP
.PP
{SENTENCE}
.TP
.BR \-\-cold [= \fIdegrees\fP ]
how cold it is
.nf
$ river  \-\-cold
.fi
""".encode()
MDOC = f""".Dd May 1, 2024
.Dt RIVER 1
.Sh NAME
.Nm river
.Nd flows down
.Sh A HEADING
{SENTENCE}
.Nm
.Op Fl c Ar degrees
sees
.Xr sea 1 .
""".encode()
SRT = f"\ufeff1\r\n00:00:01,000 --> 00:00:02,500\r\n<i>{SENTENCE}</i>\r\n\r\n2\r\n00:00:03,000 --> 00:00:04,000\r\nIt is deep.\r\n".encode()
VTT = f"WEBVTT\n\nNOTE a note\n\nname\n00:01.000 --> 00:02.000 align:start\n{SENTENCE}\n\n00:03.000 --> 00:04.000\n{SENTENCE}\nDeep &amp; wide.\n".encode()
MAIL = (
    "From: a@example.org\nTo: b@example.org\nSubject: =?utf-8?q?The_river?=\nDate: Mon, 1 Jan 2024 10:00:00 +0000\n"
    'MIME-Version: 1.0\nContent-Type: multipart/mixed; boundary="x"\n\n'
    "--x\nContent-Type: text/plain; charset=iso-8859-1\nContent-Transfer-Encoding: quoted-printable\n\n"
    f"{SENTENCE} Caf=E9.\n--x\nContent-Type: image/png\nContent-Disposition: attachment\n\nabc\n--x--\n"
).encode()
HTML_MAIL = f"Subject: Two\nContent-Type: text/html\n\n<p>{SENTENCE}</p><p>Second.</p>\n".encode()
MBOX = b"From a Mon Jan 1\n" + MAIL + b"\nFrom b Mon Jan 1\nSubject: S\n\nBody\n>From here on\n\nFrom c\n" + HTML_MAIL
WIKI = f"""<mediawiki xmlns="http://www.mediawiki.org/xml/export-0.10/">
  <siteinfo><sitename>W</sitename></siteinfo>
  <page>
    <title>River</title>
    <ns>0</ns>
    <revision><text>{{{{Infobox|a=b}}}}'''A river''' is [[water|running water]].&lt;ref&gt;gone&lt;/ref&gt; {SENTENCE}

== A heading ==
[[File:a.png|thumb|a caption]]
* a point
[[Category:Rivers]]</text></revision>
  </page>
  <page>
    <title>Stream</title>
    <ns>0</ns>
    <redirect title="River"/>
    <revision><text>#REDIRECT [[River]]</text></revision>
  </page>
  <page>
    <title>Talk:River</title>
    <ns>1</ns>
    <revision><text>Talk.</text></revision>
  </page>
</mediawiki>
""".encode()
XML = f"""<?xml version="1.0"?><book xmlns="x"><title>The river</title><chapter><title>A heading</title>
<para>{SENTENCE[:20]}<b>{SENTENCE[20:]}</b></para><para>Two.</para></chapter></book>""".encode()
HTML = f"<html><head><title>The river</title></head><body><main><h2>A heading</h2><p>{SENTENCE}</p></main></body></html>".encode()
HTTP = b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n\r\n" + HTML
WARC = b"WARC/1.0\r\nWARC-Type: response\r\nContent-Type: application/http\r\nContent-Length: %d\r\n\r\n%s\r\n\r\n" % (
    len(HTTP),
    HTTP,
)
MARKDOWN = f"# The river\n\n{SENTENCE}\n".encode()
ROWS = [{"text": SENTENCE, "n": 1}, {"text": "It is deep.", "n": 2}]


def parquet() -> bytes:
    buffer = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(ROWS), buffer)
    return buffer.getvalue()


SAMPLES: dict[str, bytes] = {
    "a.md": MARKDOWN,
    "a.txt": SENTENCE.encode(),
    "a.rst": f"The river\n=========\n\n{SENTENCE}\n".encode(),
    "a.c": f"/* {SENTENCE} */\nint main(void) {{ return 0; }}\n".encode(),
    "a.py": f'"""{SENTENCE}"""\n'.encode(),
    "a.jsonl": "".join(json.dumps(row) + "\n" for row in ROWS).encode(),
    "a.ndjson": "".join(json.dumps(row) + "\n" for row in ROWS).encode(),
    "a.json": json.dumps(ROWS).encode(),
    "a.csv": f'n,text\n1,"{SENTENCE}"\n2,"It is deep."\n'.encode(),
    "a.tsv": f"n\ttext\n1\t{SENTENCE}\n2\tIt is deep.\n".encode(),
    "a.parquet": parquet(),
    "a.html": HTML,
    "a.warc": WARC,
    "a.pdf": pdf([[SENTENCE, "Second line."], ["Second page."]], "The river"),
    "a.docx": docx(DOCX_BODY),
    "a.odt": odt(ODT_BODY),
    "a.epub": epub(),
    "a.ipynb": notebook(),
    "a.tex": TEX,
    "a.org": ORG,
    "a.pod": POD,
    "a.1": MAN,
    "b.8": MDOC,
    "a.srt": SRT,
    "a.vtt": VTT,
    "a.eml": MAIL,
    "a.mbox": MBOX,
    "a.xml": XML,
    "b.xml": WIKI,
    "a.zip": zipped({"x/a.md": MARKDOWN, "b.jsonl": json.dumps(ROWS[1]), "c.parquet": parquet()}),
    "a.tar": tarred({"x/a.md": MARKDOWN, "b.csv": b"text\nIt is deep.\n"}),
    "a.tar.gz": tarred({"x/a.md": MARKDOWN, "b.csv": b"text\nIt is deep.\n"}, "w:gz"),
    "a.tgz": tarred({"x/a.md": MARKDOWN, "c.parquet": parquet()}, "w:gz"),
}
