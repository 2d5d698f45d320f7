//! Tables of labels: comma, semicolon or tab between the cells, with or without a byte-order mark, quotes or CRLF.

use std::path::Path;

use csv::{ReaderBuilder, StringRecord};

/// A row with its line number, or why it cannot be read.
pub type Numbered = (u64, Result<Row, String>);

/// A table with a header, whose column names are matched whatever their case.
#[derive(Debug)]
pub(super) struct Table {
    columns: Vec<String>,
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

impl Table {
    /// Reads a table whose first row names the columns.
    ///
    /// # Errors
    /// One line, if the file cannot be read or has no header.
    pub fn read(path: &Path) -> Result<Table, String> {
        let bytes = std::fs::read(path).map_err(|error| error.to_string())?;
        let text = plain(&bytes);
        let mut reader = reader(delimiter(text)).has_headers(true).from_reader(text);
        let header = reader.headers().map_err(|error| one_line(&error))?;
        let columns: Vec<String> = header.iter().map(|name| name.to_lowercase()).collect();
        if columns.iter().all(String::is_empty) {
            return Err("no header".to_owned());
        }
        Ok(Table { columns, rows: rows(&mut reader) })
    }

    /// Reads a table without a header.
    ///
    /// # Errors
    /// One line, if the file cannot be read.
    pub fn read_headless(path: &Path) -> Result<Vec<Numbered>, String> {
        let bytes = std::fs::read(path).map_err(|error| error.to_string())?;
        let text = plain(&bytes);
        Ok(rows(&mut reader(delimiter(text)).has_headers(false).from_reader(text)))
    }

    /// The position of the first column that bears one of these names.
    pub fn column(&self, names: &[&str]) -> Option<usize> {
        names.iter().find_map(|name| self.columns.iter().position(|column| column == name))
    }

    /// The columns' names in lower case, for messages.
    pub fn names(&self) -> String {
        self.columns.join(", ")
    }
}

/// The bytes after a byte-order mark of UTF-8.
fn plain(bytes: &[u8]) -> &[u8] {
    bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes)
}

/// The sign that separates the cells of the first line.
fn delimiter(text: &[u8]) -> u8 {
    let line = text.split(|byte| *byte == b'\n').next().unwrap_or_default();
    let count = |sign: u8| line.iter().filter(|byte| **byte == sign).count();
    // The first of the most frequent, so that a comma wins where nothing is found.
    [b'\t', b';', b','].into_iter().max_by_key(|sign| count(*sign)).unwrap_or(b',')
}

fn reader(delimiter: u8) -> ReaderBuilder {
    let mut builder = ReaderBuilder::new();
    builder.delimiter(delimiter).flexible(true).trim(csv::Trim::All);
    builder
}

fn rows(reader: &mut csv::Reader<&[u8]>) -> Vec<Numbered> {
    let mut rows = Vec::new();
    let mut record = StringRecord::new();
    loop {
        let line = reader.position().line();
        match reader.read_record(&mut record) {
            Ok(false) => return rows,
            Ok(true) => {
                let line = record.position().map_or(line, |position| position.line());
                rows.push((line, Ok(Row(record.clone()))));
            }
            Err(error) => {
                let line = error.position().map_or(line, |position| position.line());
                let is_over = error.is_io_error();
                rows.push((line, Err(one_line(&error))));
                if is_over {
                    return rows;
                }
            }
        }
    }
}

fn one_line(error: &csv::Error) -> String {
    match error.kind() {
        csv::ErrorKind::Utf8 { .. } => "not UTF-8".to_owned(),
        _ => error.to_string().split_whitespace().collect::<Vec<_>>().join(" "),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(bytes: &[u8]) -> Table {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), bytes).unwrap();
        Table::read(file.path()).unwrap()
    }

    #[test]
    fn spreadsheets_of_any_country_are_read_alike() {
        for bytes in [
            &b"Path,Label\na b.png,1\n\"c,;d.png\",0\n"[..],
            b"\xef\xbb\xbfpath;label\r\na b.png;1\r\n\"c,;d.png\";0\r\n",
            b"path\tlabel\n\n a b.png \t1\nc,;d.png\t0",
        ] {
            let table = table(bytes);
            let [path, label] = [&["path"], &["label"]].map(|names| table.column(names));
            let rows: Vec<_> = table.rows.iter().map(|(_, row)| row.as_ref().unwrap()).collect();
            assert_eq!(rows.len(), 2);
            assert_eq!((rows[0].get(path), rows[0].get(label)), (Some("a b.png"), Some("1")));
            assert_eq!((rows[1].get(path), rows[1].get(label)), (Some("c,;d.png"), Some("0")));
        }
    }

    #[test]
    fn a_row_that_is_no_text_is_reported_by_its_line_and_the_others_stay() {
        let table = table(b"path,label\na.png,1\n\xff\xfe,1\nb.png\n");
        let lines: Vec<(u64, bool)> = table.rows.iter().map(|(line, row)| (*line, row.is_ok())).collect();
        assert_eq!(lines, [(2, true), (3, false), (4, true)]);
        assert_eq!(table.rows[2].1.as_ref().unwrap().get(table.column(&["label"])), None);
    }
}
