"""Files that others made, and every way they can be wrong: named with the place."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from budgetctl.data.columns import Columns
from budgetctl.data.pool import load_pool
from budgetctl.data.records import read_records
from budgetctl.data.sources import LocalFiles
from budgetctl.errors import UsageError
from tests.budgetctl.data.foreign_files import COLUMNS, ROWS, read, write
from tests.budgetctl.data.rows import user


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("t.jsonl", b'{"q": "x"}\n', r"t\.jsonl, line 1: there is no column 'a'; there are q"),
        (
            "t.jsonl",
            b'{"q": 3, "a": "y"}\n',
            r"line 1: column 'q' must hold a text or a list of turns, found a int",
        ),
        ("t.jsonl", b'{"q": [{"role": "user"}], "a": "y"}\n', r"column 'q' must hold turns with a text role"),
        ("t.jsonl", b'{"q": "\xc3(", "a": "y"}\n', r"line 1: not valid UTF-8 \(byte 8 of the line\)"),
        ("t.jsonl", b"{}\n{", r"line 1: there is no column 'a'; there are none|line 1"),
        ("t.json", b'{"q": "x"}', r"expected a list of objects, found a dict"),
        ("t.json", b'[{"q": "x"}, 5]', r"row 2: expected an object, found a int|row 1"),
        ("t.json", b'[{"q": ]', r"t\.json, line 1: not valid JSON"),
        ("t.csv", b"q,a\nx,y\nx,y,z\n", r"line 3: it has 3 cells, and the first line 2"),
        ("t.csv", b"q,a\nx\n", r"line 2: it has 1 cells, and the first line 2"),
        ("t.csv", b'q,a\n"x\n\ny",z\n\n"one\ntwo"\n', r"t\.csv, line 6: it has 1 cells"),
        ("t.csv", b"q,a\n" + b"x,y\n" * 5000 + b"x,\xff\n" + b"x,y\n" * 5000, r"line 5002: not valid UTF-8"),
        ("t.csv", b'q,a\nx,y\n"x,y\n' + b"x,y\n" * 9, r"line 3: not valid CSV"),
        ("t.csv", b"q,a,q\nx,y,z\n", r"t\.csv, line 1: it names 'q' more than once"),
        (
            "t.jsonl",
            b'{"q": ' + b"9" * 5000 + b"}",
            r"line 1: holds a whole number of more than 4,300 digits",
        ),
        (
            "t.json",
            b'[{"q": ' + b"9" * 5000 + b"}]",
            r"t\.json: holds a whole number of more than 4,300 digits",
        ),
        ("t.json", b'[{"q": "x"},\n{"q" 3}]', r"t\.json, line 2: not valid JSON"),
        ("t.json", b"[" * 100_000, r"t\.json: nested too deeply"),
        ("t.json", b'[{"q": "x\\ud800", "a": "y"}]', r"row 1: the escape \\ud800 is half a character"),
        ("t.jsonl", b'{"q": ' + b"[" * 100_000, r"line 1: nested too deeply"),
        ("t.jsonl", b'{"q": "x\\uDC00", "a": "y"}', r"line 1: the escape \\udc00 is half a character"),
        ("t.parquet", b"PAR1 this was cut off", r"t\.parquet: not a whole Parquet file"),
        ("t.txt", b"x", r"cannot tell its format; files must end in \.jsonl, \.json, \.csv, \.parquet"),
    ],
)
def test_bad_files_are_named_with_the_place(tmp_path, name, content, message):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(UsageError, match=message):
        read(tmp_path / name)


@pytest.mark.parametrize("ending", ["jsonl", "json", "csv"])
def test_a_byte_order_mark_is_passed_over(tmp_path, ending):
    path = write(tmp_path / f"t.{ending}", ROWS)
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
    assert len(read(path)) == 40


def test_a_row_of_a_csv_file_is_named_by_the_line_it_begins_on(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text('q,a\n"one\nand more",y\n\n"two\nand more",\n')
    assert [where.rpartition(" ")[2] for where, _ in read_records(path, "csv")] == ["2", "5"]


def test_whole_surrogate_pairs_are_characters(tmp_path):
    (tmp_path / "t.jsonl").write_bytes(b'{"q": "\\ud83d\\ude00", "a": "y"}\n')
    assert read(tmp_path / "t.jsonl")[0]["messages"][0]["content"] == "\N{GRINNING FACE}"


@pytest.mark.parametrize("column", ["q", "a"])
def test_texts_of_a_parquet_file_that_are_no_utf8(tmp_path, column):
    texts = {name: pa.array([b"one", b"t\xff"], pa.binary()).view(pa.string()) if name == column else ["x", "y"]
             for name in ("q", "a")}  # fmt: skip
    pq.write_table(pa.table(texts), tmp_path / "t.parquet")
    source, located = LocalFiles.at({"train": [tmp_path / "t.parquet"]}, COLUMNS)
    with pytest.raises(UsageError, match=rf"rows 1 to 2: column '{column}' is damaged \(.*UTF8"):
        load_pool(source, "sft", "train", located)


def test_a_parquet_file_cut_in_the_middle(tmp_path):
    path = write(tmp_path / "t.parquet", ROWS)
    path.write_bytes(path.read_bytes()[:-200])
    with pytest.raises(UsageError, match="not a whole Parquet file"):
        read(path)


def test_a_hundred_megabyte_line_is_refused_without_reading_it_whole(tmp_path):
    path = tmp_path / "t.jsonl"
    with path.open("wb") as stream:
        stream.write(b'{"q": "x", "a": "y"}\n{"q": "')
        stream.seek(100 * 2**20)
        stream.write(b'", "a": "y"}\n')
    with pytest.raises(UsageError, match="line 2: longer than 64 MiB"):
        read(path)


def test_an_unnamed_column_is_asked_for(tmp_path):
    path = write(tmp_path / "t.jsonl", ROWS)
    with pytest.raises(UsageError, match=r"no column is named for chosen; say `columns: \{chosen: NAME\}`"):
        read(path, kind="pref")


def test_a_conversation_must_end_with_the_answer(tmp_path):
    path = write(tmp_path / "t.jsonl", [{"m": user("only a question")}])
    with pytest.raises(UsageError, match="must end with an assistant's turn"):
        read(path, Columns(messages="m"))


def test_a_file_that_changed_under_its_name_is_noticed(tmp_path):
    path = write(tmp_path / "t.jsonl", ROWS)
    source, located = LocalFiles.at({"train": [path]}, COLUMNS)
    write(path, ROWS[1:])
    with pytest.raises(UsageError, match="has changed"):
        list(source.rows("sft", "train", located))
