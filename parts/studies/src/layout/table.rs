//! Tables of labels as spreadsheets write them: comma, semicolon, tab or bar between the cells, with or without quotes,
//! CRLF, Excel's first line `sep=;`, in UTF-8 or UTF-16.

use std::borrow::Cow;
use std::io::Read;
use std::path::Path;

use csv::{ReaderBuilder, StringRecord};

use files::regular;

/// A row with its line number, or why it cannot be read.
pub type Numbered = (u64, Result<Row, String>);

/// The largest table that is read, in bytes: 256 MiB, a hundred times NIH's list of 112,120 films.
const MAX_BYTES: u64 = 256 << 20;

/// A table with a header. Column names are matched whatever their case, and by their letters and digits alone: `Image
/// Index` is `image_index`.
#[derive(Debug)]
pub(super) struct LabelTable {
    columns: Vec<String>,
    /// The same by their letters and digits alone.
    plain: Vec<String>,
    /// The rows with the line they begin on, and those that cannot be read, with the reason.
    pub rows: Vec<Numbered>,
}

/// The cells of one row, trimmed.
#[derive(Debug, Clone)]
pub(super) struct Row(StringRecord);

impl Row {
    /// The cell of a column by its position; none if the row is short or the cell empty.
    pub fn get(&self, column: Option<usize>) -> Option<&str> {
        self.0.get(column?).filter(|cell| !cell.is_empty())
    }
}

impl LabelTable {
    /// Reads a table whose first row names the columns.
    ///
    /// # Errors
    /// One line, if the file cannot be read or has no header.
    pub fn read(path: &Path) -> Result<LabelTable, String> {
        let bytes = bytes(path)?;
        let (text, delimiter) = text(&bytes);
        let mut reader = reader(delimiter).has_headers(true).from_reader(&text[..]);
        let header = reader.headers().map_err(|error| one_line(&error))?;
        let columns: Vec<String> = header.iter().map(str::to_owned).collect();
        if columns.iter().all(String::is_empty) {
            return Err("no header".to_owned());
        }
        let mut rows = rows(&mut reader, &text);
        for (_, row) in &mut rows {
            let more = |cells: &Row| cells.0.iter().skip(columns.len()).any(|cell| !cell.is_empty());
            if let Ok(cells) = row
                && more(cells)
            {
                *row = Err(format!("it has {} cells, the header {}", cells.0.len(), columns.len()));
            }
        }
        let plain = columns.iter().map(|name| plain(name)).collect();
        Ok(LabelTable { columns, plain, rows })
    }

    /// Reads a table without a header.
    ///
    /// # Errors
    /// One line, if the file cannot be read.
    pub fn read_headless(path: &Path) -> Result<Vec<Numbered>, String> {
        let bytes = bytes(path)?;
        let (text, delimiter) = text(&bytes);
        Ok(rows(&mut reader(delimiter).has_headers(false).from_reader(&text[..]), &text))
    }

    /// The position of the first column that bears one of these names.
    pub fn column(&self, names: &[&str]) -> Option<usize> {
        names.iter().map(|name| plain(name)).find_map(|name| self.plain.iter().position(|column| *column == name))
    }

    /// The column's name as the table writes it.
    pub fn name(&self, column: usize) -> &str {
        &self.columns[column]
    }

    /// One of these columns, if another one bears its name too.
    pub fn twice(&self, columns: &[Option<usize>]) -> Option<&str> {
        let is_twice = |at: &usize| self.plain.iter().filter(|column| **column == self.plain[*at]).count() > 1;
        columns.iter().flatten().find(|at| is_twice(at)).map(|at| self.name(*at))
    }

    /// The columns' names, for messages.
    pub fn names(&self) -> String {
        self.columns.join(", ")
    }
}

/// Small letters and digits.
fn plain(name: &str) -> String {
    name.chars().filter(|sign| sign.is_alphanumeric()).flat_map(char::to_lowercase).collect()
}

fn bytes(path: &Path) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    let file = regular::open(path).map_err(|error| error.to_string())?;
    file.take(MAX_BYTES + 1).read_to_end(&mut bytes).map_err(|error| error.to_string())?;
    if bytes.len() as u64 > MAX_BYTES {
        return Err("larger than 256 MiB, too large for a table of labels".to_owned());
    }
    Ok(bytes)
}

/// The table in UTF-8 without byte-order mark and `sep=` line, whose line break stays so that lines keep their numbers;
/// and the sign between its cells.
fn text(bytes: &[u8]) -> (Cow<'_, [u8]>, u8) {
    let text: Cow<[u8]> = match bytes {
        [0xef, 0xbb, 0xbf, rest @ ..] => rest.into(),
        [0xff, 0xfe, rest @ ..] => from_utf16(rest, u16::from_le_bytes).into(),
        [0xfe, 0xff, rest @ ..] => from_utf16(rest, u16::from_be_bytes).into(),
        // Without the mark: a header of plain letters has a zero in every other place.
        [1..=255, 0, _, 0, ..] => from_utf16(bytes, u16::from_le_bytes).into(),
        [0, 1..=255, 0, _, ..] => from_utf16(bytes, u16::from_be_bytes).into(),
        _ => bytes.into(),
    };
    let end = text.iter().position(|byte| matches!(byte, b'\n' | b'\r')).unwrap_or(text.len());
    match named_delimiter(&text[..end]) {
        Some(delimiter) => match text {
            Cow::Borrowed(text) => ((&text[end..]).into(), delimiter),
            Cow::Owned(text) => (text[end..].to_vec().into(), delimiter),
        },
        None => {
            let delimiter = delimiter(&text);
            (text, delimiter)
        }
    }
}

/// Units of 16 bits as UTF-8. What is none stays none, so that the row it stands in is refused and no other.
fn from_utf16(bytes: &[u8], unit: fn([u8; 2]) -> u16) -> Vec<u8> {
    let (units, rest) = bytes.as_chunks();
    let mut text = Vec::with_capacity(bytes.len());
    for decoded in char::decode_utf16(units.iter().map(|pair| unit(*pair))) {
        match decoded {
            Ok(sign) => text.extend_from_slice(sign.encode_utf8(&mut [0; 4]).as_bytes()),
            Err(_) => text.push(0xff),
        }
    }
    if !rest.is_empty() {
        text.push(0xff);
    }
    text
}

/// The sign that a first line `sep=;` names, in quotes or not, as Excel reads and writes it.
fn named_delimiter(line: &[u8]) -> Option<u8> {
    let bare: Vec<u8> = line.iter().copied().filter(|byte| !matches!(byte, b'"' | b' ')).collect();
    match bare.split_at_checked(4) {
        // What follows are empty cells that a spreadsheet added.
        Some((word, [sign, rest @ ..])) if word.eq_ignore_ascii_case(b"sep=") => {
            let is_sign = !sign.is_ascii_alphanumeric() && sign.is_ascii();
            (is_sign && rest.iter().all(|byte| byte == sign || *byte == b',')).then_some(*sign)
        }
        _ => None,
    }
}

/// The sign that separates the cells of the first line that is not empty; what stands in quotes does not count.
fn delimiter(text: &[u8]) -> u8 {
    let line = text.split(|byte| matches!(byte, b'\n' | b'\r')).find(|line| !line.is_empty()).unwrap_or_default();
    let mut is_quoted = false;
    let bare: Vec<u8> = line
        .iter()
        .copied()
        .filter(|byte| {
            is_quoted ^= *byte == b'"';
            !is_quoted
        })
        .collect();
    let count = |sign: u8| bare.iter().filter(|byte| **byte == sign).count();
    // The last of the most frequent, so that a comma wins where nothing is found.
    [b'|', b'\t', b';', b','].into_iter().max_by_key(|sign| count(*sign)).unwrap_or(b',')
}

fn reader(delimiter: u8) -> ReaderBuilder {
    let mut builder = ReaderBuilder::new();
    builder.delimiter(delimiter).flexible(true).trim(csv::Trim::All);
    builder
}

fn rows(reader: &mut csv::Reader<&[u8]>, text: &[u8]) -> Vec<Numbered> {
    let mut rows: Vec<Numbered> = Vec::new();
    let mut record = StringRecord::new();
    let mut lines = Lines { text, at: 0, line: 1 };
    loop {
        let before = reader.position().byte();
        match reader.read_record(&mut record) {
            Ok(false) => {
                // Marks come in pairs; else the last row holds all that follows the odd one.
                let is_odd = text.iter().filter(|byte| **byte == b'"').count() % 2 == 1;
                if let Some((_, row)) = rows.last_mut()
                    && is_odd
                    && row.as_ref().is_ok_and(|row| row.0.iter().any(|cell| cell.contains(['\n', '\r'])))
                {
                    *row = Err("a quotation mark is opened in it and never closed".to_owned());
                }
                return rows;
            }
            Ok(true) => {
                let byte = record.position().map_or(before, |position| position.byte());
                rows.push((lines.of(byte), Ok(Row(record.clone()))));
            }
            Err(error) => {
                let byte = error.position().map_or(before, |position| position.byte());
                let is_over = error.is_io_error();
                rows.push((lines.of(byte), Err(one_line(&error))));
                if is_over {
                    return rows;
                }
            }
        }
    }
}

/// Counts lines as an editor does. The reader's own count is one less where lines end in CRLF, and takes blank lines
/// before a row for its beginning.
struct Lines<'a> {
    text: &'a [u8],
    at: usize,
    line: u64,
}

impl Lines<'_> {
    /// The line of the row that begins at a byte, or after the line breaks that stand there; bytes must not fall.
    fn of(&mut self, byte: u64) -> u64 {
        while let Some(&sign) = self.text.get(self.at) {
            let is_break = matches!(sign, b'\n' | b'\r');
            if self.at as u64 >= byte && !is_break {
                break;
            }
            // Of CRLF only the second counts.
            self.line += u64::from(is_break && !(sign == b'\r' && self.text.get(self.at + 1) == Some(&b'\n')));
            self.at += 1;
        }
        self.line
    }
}

fn one_line(error: &csv::Error) -> String {
    match error.kind() {
        csv::ErrorKind::Utf8 { .. } => "not Unicode (UTF-8, or UTF-16 with its byte-order mark)".to_owned(),
        _ => error.to_string().split_whitespace().collect::<Vec<_>>().join(" "),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(bytes: &[u8]) -> LabelTable {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), bytes).unwrap();
        LabelTable::read(file.path()).unwrap()
    }

    #[test]
    fn spreadsheets_of_any_country_are_read_alike() {
        for bytes in [
            &b"Path,Label\na b.png,1\n\"c,;d.png\",0\n"[..],
            b"\xef\xbb\xbfpath;label\r\na b.png;1\r\n\"c,;d.png\";0\r\n",
            b"path\tlabel\n\n a b.png \t1\nc,;d.png\t0",
            b"path|label\na b.png|1\nc,;d.png|0",
            b"\"path\",\"label;;;\"\na b.png,1\n\"c,;d.png\",0\n",
        ] {
            let table = table(bytes);
            let [path, label] = [&["path"], &["label"]].map(|names| table.column(names));
            let rows: Vec<_> = table.rows.iter().map(|(_, row)| row.as_ref().unwrap()).collect();
            assert_eq!(rows.len(), 2);
            assert_eq!((rows[0].get(path), rows[0].get(label)), (Some("a b.png"), Some("1")));
            assert_eq!((rows[1].get(path), rows[1].get(label)), (Some("c,;d.png"), Some("0")));
        }
    }

    /// A text in each encoding that spreadsheets write.
    fn encodings(text: &str) -> Vec<Vec<u8>> {
        let units = |bytes: fn(u16) -> [u8; 2]| text.encode_utf16().flat_map(bytes).collect::<Vec<u8>>();
        let (little, big) = (units(u16::to_le_bytes), units(u16::to_be_bytes));
        let marked = |mark: &[u8], bytes: &[u8]| [mark, bytes].concat();
        vec![
            text.as_bytes().to_vec(),
            marked(b"\xef\xbb\xbf", text.as_bytes()),
            marked(b"\xff\xfe", &little),
            marked(b"\xfe\xff", &big),
            little,
            big,
        ]
    }

    #[test]
    fn each_encoding_and_each_way_to_name_the_sign_between_cells_gives_the_same_rows() {
        for sep in ["", "sep=;\r\n", "\"sep=;\"\r\n", "SEP=;\n", "sep=;;;\n", "\"sep=\";\n"] {
            for bytes in encodings(&format!("{sep}path;label;note\r\nRöntgen 𝄞.png;1;a,b,c,d\r\nb.png;0;\r\n")) {
                let table = table(&bytes);
                let [path, label] = [&["path"], &["label"]].map(|names| table.column(names));
                let rows: Vec<_> = table.rows.iter().map(|(_, row)| row.as_ref().unwrap()).collect();
                assert_eq!((rows[0].get(path), rows[0].get(label)), (Some("Röntgen 𝄞.png"), Some("1")), "{sep:?}");
                assert_eq!((rows[1].get(path), rows[1].get(label), rows.len()), (Some("b.png"), Some("0"), 2));
                let lines: Vec<u64> = table.rows.iter().map(|(line, _)| *line).collect();
                assert_eq!(lines, if sep.is_empty() { [2, 3] } else { [3, 4] }, "{sep:?}");
            }
        }
        assert_eq!(table(b"sep=\t\npath\tlabel\na\t1").column(&["label"]), Some(1));
        // A column may be called so.
        assert_eq!(table(b"sep=x,label\na,1").names(), "sep=x, label");
    }

    #[test]
    fn rows_are_numbered_as_an_editor_does_whatever_ends_a_line() {
        for end in ["\n", "\r\n", "\r"] {
            let text = ["path,label", "a.png,1", "", "", "\"b", ".png\",0", "c.png,1", ""].join(end);
            let lines: Vec<u64> = table(text.as_bytes()).rows.iter().map(|(line, _)| *line).collect();
            assert_eq!(lines, [2, 5, 7], "{end:?}");
        }
    }

    #[test]
    fn a_quotation_mark_that_is_never_closed_and_a_cell_too_many_are_named() {
        let why =
            |text: &[u8]| -> Vec<Option<String>> { table(text).rows.into_iter().map(|(_, row)| row.err()).collect() };
        let [first, second] = &why(b"path,label,patient\na.png,1,p\nb.png,1,\"p3\nc.png,0,p\n")[..] else { panic!() };
        assert!(first.is_none() && second.as_ref().unwrap().contains("never closed"), "{second:?}");
        let [first, second, third] = &why(b"path,label\na.png,1,,\nb.png,1,2\n\"c\nd.png\",0\n")[..] else { panic!() };
        assert!(first.is_none() && second.as_ref().unwrap().contains("3 cells, the header 2") && third.is_none());
    }

    #[test]
    fn columns_are_known_by_their_letters() {
        let table = table(b"Image Index,Finding Labels,Patient-ID,\xc3\x84rzt:in\n");
        let [image, findings, patient] = ["imageindex", "findinglabels", "patientid"].map(|name| table.column(&[name]));
        assert_eq!((image, findings, patient, table.column(&["\u{e4}rztin"])), (Some(0), Some(1), Some(2), Some(3)));
        assert_eq!(table.twice(&[image, findings]), None);
        assert_eq!(self::table(b"Path,label,LABEL\n").twice(&[Some(0), Some(1)]), Some("label"));
    }

    #[test]
    fn a_row_that_is_no_text_is_reported_by_its_line_and_the_others_stay() {
        let table = table(b"path,label\na.png,1\n\xff\xfe,1\nb.png\n");
        let lines: Vec<(u64, bool)> = table.rows.iter().map(|(line, row)| (*line, row.is_ok())).collect();
        assert_eq!(lines, [(2, true), (3, false), (4, true)]);
        assert_eq!(table.rows[2].1.as_ref().unwrap().get(table.column(&["label"])), None);
        // Half a surrogate pair in the second row, half a letter at the end.
        let mut bytes = encodings("path,label\na.png,1\n").swap_remove(2);
        bytes.extend_from_slice(&[0x34, 0xd8, b'\n', 0, b'b', 0, b',', 0, b'1', 0, b'\n', 0, b'c']);
        let broken = self::table(&bytes);
        assert_eq!(broken.rows.iter().map(|(_, row)| row.is_ok()).collect::<Vec<_>>(), [true, false, true, false]);
    }
}
