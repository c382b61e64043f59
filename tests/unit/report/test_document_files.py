"""A document becomes files: the same bytes each time, every text a text, one message where something is in the way."""

import builtins
import csv
import io
import json
import re
from pathlib import Path
from typing import Any

import pytest

from robonav_ray.errors import UserError
from robonav_ray.report import style
from robonav_ray.report.document import (
    Cell,
    Document,
    Facts,
    Figure,
    Gallery,
    Listing,
    Section,
    Strong,
    Table,
    Verdict,
    paragraph,
    to_csv,
)
from robonav_ray.report.glyphs import set_text
from robonav_ray.report.html_page import html_page
from robonav_ray.report.plain_pdf import plain_pdf
from robonav_ray.report.typst_pdf import NoTypstError, _pieces, typst_pdf
from robonav_ray.report.written import write_document

HOSTILE = (
    '#eval("1") ] $x$ *b* <script>alert(1)</script> & \N{RIGHT-TO-LEFT OVERRIDE}\x1b[31m \u4e2d \N{SNOWMAN} {{}} @ref '
    "\\u"
)


@pytest.fixture(scope="module")
def picture() -> Figure:
    figure = style.make_figure(8, 4)
    axes = figure.add_subplot()
    style.bare_axes(axes)
    axes.plot([0, 1], [0, 1], color=style.BLUE, label="x")
    return Figure("line", f"A line: {HOSTILE}", HOSTILE, style.svg_of(figure), style.png_of(figure, 60))


def document(picture: Figure, said: str = HOSTILE) -> Document:
    table = Table(
        "outcomes",
        f"How to read it: {said}",
        ("entrant", "success"),
        ((said, Cell("93.1%", "good", strong=True)), ("dwa", Cell("88.9%", shade=0.9))),
        "lr",
        groups=(("", 1), (said, 1)),
        rules=(1,),
    )
    blocks = (paragraph(said, Strong(said)), Listing((paragraph(said),)), table, picture, Facts(((said, said),)))
    return Document(
        title=said,
        subtitle=said,
        front=(Verdict(said, "good", said, ((said, said),)),),
        sections=(
            Section(said, blocks, (Section(said, (Gallery((picture, Figure("p", said, said, png=picture.png)), 2),)),)),
            Section("Second", (paragraph("x"),)),
        ),
        footer=said,
        summary={"success": float("nan"), "said": said, "list": (1, 2)},
    )


def test_every_text_stays_a_text_in_the_page(picture: Figure) -> None:
    page = html_page(document(picture))
    assert "<script" not in page
    assert "&lt;script&gt;alert(1)" in page
    assert "\x1b" not in page
    assert "\N{RIGHT-TO-LEFT OVERRIDE}" not in page


def test_the_page_asks_nothing_of_a_network_and_its_ids_are_unique(picture: Figure) -> None:
    page = html_page(document(picture))
    assert not re.findall(r"https?:", page)
    assert not [
        link for link in re.findall(r"""(?:src|href)=["']([^"']+)""", page) if not link.startswith(("#", "data:"))
    ]
    ids = re.findall(r'\bid="([^"]+)"', page)
    assert len(set(ids)) == len(ids)
    assert set(re.findall(r'(?:href="|url\()#([^")]+)', page)) <= set(ids)


def test_typst_sets_hostile_texts_and_the_same_bytes_twice(picture: Figure) -> None:
    pytest.importorskip("typst", reason="the extra `report` is not installed")
    data = typst_pdf(document(picture))
    assert data.startswith(b"%PDF-")
    assert b"pdfaid" in data
    assert data == typst_pdf(document(picture))


def test_a_table_of_many_columns_leaves_room_for_the_names_of_its_rows() -> None:
    names = [f"a_planner_{i} (true state)" for i in range(12)]
    row = ("multi goal planning", "1,000", *(Cell("93.1", shade=0.5) for _ in names))
    table = Table("heat", "Success", ("scenario", "worlds", *names), (row,), "lr" + "c" * 12)
    shares = _pieces(table)
    assert shares[0] > max(shares[1:]), "two lines of the longest name"
    assert max(shares[2:]) < 12, "heads go on in another line"
    whole = Document("A", "", (), (Section("S", (table,)),))
    assert typst_pdf(whole).startswith(b"%PDF")


def test_the_plain_pdf_takes_the_same_document_and_gives_the_same_bytes_twice(picture: Figure) -> None:
    data, again = (plain_pdf(document(picture)) for _ in range(2))
    assert data.startswith(b"%PDF-")
    assert data == again
    assert b"CreationDate" not in data


def test_without_typst_one_line_names_the_extra_and_the_pdf_is_a_plain_one(
    picture: Figure, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = builtins.__import__

    def without_typst(name: str, *more: Any) -> Any:
        if name == "typst":
            raise ImportError(name)
        return real(name, *more)

    monkeypatch.setattr(builtins, "__import__", without_typst)
    with pytest.raises(NoTypstError, match=r"pip install 'robonav_ray\[report\]'"):
        typst_pdf(document(picture))
    said: list[str] = []
    write_document(document(picture, "plain"), tmp_path, said.append)
    assert len(said) == 1
    assert "report.pdf is a plain one" in said[0]
    assert (tmp_path / "report.pdf").read_bytes().startswith(b"%PDF-")


def test_all_files_are_written_and_are_the_same_bytes_twice(picture: Figure, tmp_path: Path) -> None:
    for name in ("a", "b"):
        write_document(document(picture), tmp_path / name, lambda _: None)
    names = sorted(path.relative_to(tmp_path / "a") for path in (tmp_path / "a").rglob("*") if path.is_file())
    assert [str(name) for name in names] == ["report.html", "report.pdf", "summary.json", "tables/outcomes.csv"]
    assert all((tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes() for name in names)
    summary = json.loads((tmp_path / "a" / "summary.json").read_text())
    assert summary == {"success": None, "said": HOSTILE, "list": [1, 2]}


def test_what_stands_in_the_way_is_named(picture: Figure, tmp_path: Path) -> None:
    (tmp_path / "tables").write_text("")
    with pytest.raises(UserError, match=r"tables: is a plain file, where a folder belongs"):
        write_document(document(picture), tmp_path, lambda _: None)


def test_the_folder_that_the_user_names_may_be_a_link(picture: Figure, tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    write_document(document(picture), tmp_path / "link", lambda _: None)
    assert (tmp_path / "real" / "report.html").exists()


def test_a_font_that_is_gone_is_named(picture: Figure, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("matplotlib.get_data_path", lambda: str(tmp_path))
    with pytest.raises(UserError, match=r"DejaVuSans\.ttf: this font, which comes with matplotlib, is not there"):
        typst_pdf(document(picture))


def test_characters_without_a_glyph_become_escapes() -> None:
    assert set_text("caf\u00e9 \N{MINUS SIGN}1 \u4e2d\n") == "caf\u00e9 \N{MINUS SIGN}1 \\u4e2d\n"
    assert set_text("a\u202eb\x00") == "a\\u202eb\\x00"


def test_a_csv_has_records_as_they_are_and_runs_nothing_in_a_spreadsheet() -> None:
    table = Table(
        "t",
        "",
        ("a",),
        (("x",),),
        "l",
        records=({"name": "=1+1", "p": 0.25, "n": 3}, {"name": "b,\n", "q": float("nan")}),
    )
    rows = list(csv.DictReader(io.StringIO(to_csv(table))))
    assert rows[0] == {"name": "'=1+1", "p": "0.25", "n": "3", "q": ""}
    assert rows[1] == {"name": "b,\n", "p": "", "n": "", "q": ""}


def test_a_table_whose_rows_do_not_fit_is_refused() -> None:
    with pytest.raises(ValueError, match=r"columns"):
        Table("t", "", ("a", "b"), (("x",),), "lr")
    table = Table("t", "", ("a",), (), "l")
    with pytest.raises(ValueError, match="one name"):
        Document("t", "", (table, table), ()).tables()


def test_a_picture_is_the_same_bytes_twice() -> None:
    made = []
    for _ in range(2):
        figure = style.make_figure(6, 4)
        figure.add_subplot().plot([0, 1], [1, 0], label="a $b")
        made.append((style.svg_of(figure), style.png_of(figure, 50)))
    assert made[0] == made[1]
    assert "date" not in made[0][0].lower()
